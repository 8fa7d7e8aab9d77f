"""Small tools that know nothing of gateways, models or AWS accounts."""
