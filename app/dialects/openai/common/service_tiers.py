"""Service tiers as OpenAI names them."""

from app.errors import InvalidRequest

# OpenAI's tiers that Bedrock has; `auto` leaves the choice to Bedrock
TIERS = frozenset({"default", "flex", "priority"})
UNAVAILABLE_TIERS = ("scale", "fast")


def unavailable_tier() -> InvalidRequest:
    """Return the error for a tier that Bedrock does not have."""
    return InvalidRequest("service_tier must be auto, default, flex or priority", param="service_tier")
