"""Endpoints for the operators of a gateway: health, readiness and metrics."""
