"""Responses: `POST /v1/responses` and the endpoints of stored responses."""
