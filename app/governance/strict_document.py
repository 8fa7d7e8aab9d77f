"""Parses a caller's own body as Bedrock reads it, where the gateway must not overlook a member."""

from app.errors import InvalidRequest
from app.wire import json
from app.wire.json import JsonObject


def parse_strict_object(body: bytes) -> JsonObject:
    """Parse a body that is sent as it is. Raises InvalidRequest: it is not an object, or has a key twice."""
    try:
        document = json.loads_strictly(body)
    except json.JsonError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", param=error.path or None) from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    return document
