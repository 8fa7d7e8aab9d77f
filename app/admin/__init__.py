"""Endpoints for operators and administrators: health, metrics, the pages `/docs` and `/redoc`, and the admin API."""
