"""Endpoints for the operators of a gateway: health, readiness, metrics and the pages that show the OpenAPI document."""
