"""The OpenAPI document: what it says beyond what FastAPI gathers from the routes."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.dialects.http.endpoint import Endpoint

DESCRIPTION = """
One HTTP address for Amazon Bedrock: for programs that speak OpenAI, for programs that speak Anthropic, and for
programs that speak Bedrock itself.

Send a key as `Authorization: Bearer …` or as `x-api-key`, or sign with SigV4 (access key id = the key's name, secret
access key = the key). Every answer has an `x-request-id`; a caller's own is taken over. `x-outcrop-ignored` names
fields without effect, `x-outcrop-adjusted` changes that were needed for the model.
"""
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "One of API_KEYS."},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "One of API_KEYS."},
    "sigv4": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4, service `bedrock`; the pair is a key's name and its secret.",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
}
TAGS = [
    {"name": "OpenAI", "description": "For programs that speak OpenAI."},
    {"name": "Anthropic", "description": "For programs that speak Anthropic."},
    {"name": "Cohere", "description": "For programs that speak Cohere's Rerank."},
    {"name": "Bedrock", "description": "For programs that speak Amazon Bedrock, at AWS's own paths."},
    {"name": "Operations", "description": "For those who run the gateway; no key is needed."},
]


def openapi_document(application: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the security schemes on every path that needs a key."""
    if application.openapi_schema is None:
        document = get_openapi(
            title=application.title,
            version=application.version,
            description=application.description,
            routes=[route.documented() if isinstance(route, Endpoint) else route for route in application.routes],
            tags=application.openapi_tags,
        )
        document.setdefault("components", {})["securitySchemes"] = _SECURITY
        for item in document["paths"].values():
            for operation in item.values():
                if "Operations" not in operation.get("tags", ()):
                    operation["security"] = [{name: []} for name in _SECURITY]
                    operation["responses"].pop("422", None)
        application.openapi_schema = document
    return application.openapi_schema
