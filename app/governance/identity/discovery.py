"""Reads what an OIDC issuer publishes about itself (OpenID Connect Discovery 1.0)."""

from collections.abc import Mapping
from typing import Any

from app.bedrock.transport import Transport
from app.governance.identity.http_documents import NotFetched, http_get
from app.wire import json

DISCOVERY = "/.well-known/openid-configuration"
_ACCEPT = (("accept", "application/json"),)
_MAX_BYTES = 512 * 1024


async def discover(transport: Transport, issuer: str, seconds: float) -> Mapping[str, Any]:
    """Return the discovery document of an issuer. Raises NotFetched: see `read_object`, or it is of another issuer."""
    document = await read_object(transport, issuer.rstrip("/") + DISCOVERY, seconds)
    if document.get("issuer") != issuer:
        raise NotFetched("the discovery document is of another issuer")
    return document


def url_in(document: Mapping[str, Any], name: str, issuer: str) -> str:
    """Return a URL of a discovery document.

    Raises:
        NotFetched: there is none, or it has no TLS: a document that was read over TLS must not lead to such a one.
    """
    url = document.get(name)
    if not isinstance(url, str) or not url.startswith(("https://", issuer.partition("//")[0])):
        raise NotFetched(f"the discovery document names no {name} with https://")
    return url


async def read_object(transport: Transport, url: str, seconds: float) -> Mapping[str, Any]:
    """Return a JSON object that is at a URL. Raises NotFetched: it cannot be read."""
    status, body = await http_get(transport, url, _ACCEPT, max_bytes=_MAX_BYTES, seconds=seconds)
    if status != 200:
        raise NotFetched(f"status {status}")
    return parse_object(body)


def parse_object(body: bytes) -> Mapping[str, Any]:
    """Parse a JSON object. Raises NotFetched."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise NotFetched("the answer is not a JSON object")
    return document
