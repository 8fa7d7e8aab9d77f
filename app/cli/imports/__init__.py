"""Reads teams and keys of other gateways."""
