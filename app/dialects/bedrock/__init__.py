"""Bedrock's own API: requests pass through unchanged."""
