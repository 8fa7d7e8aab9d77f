"""Endpoints for those who run the gateway."""
