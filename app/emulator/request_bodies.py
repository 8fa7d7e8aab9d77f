"""Request bodies, parsed."""

from app.emulator.errors import MALFORMED, ServiceError, invalid
from app.wire import json
from app.wire.json import JsonObject


def parse_body(body: bytes) -> JsonObject:
    """Parse the body of an operation that the service model describes.

    Raises:
        ServiceError: a SerializationException.
    """
    try:
        document = json.loads(body or b"{}")
    except json.JsonError:
        raise ServiceError("SerializationException", "The body is not valid JSON", is_front_end=True) from None
    if not isinstance(document, dict):
        found = "Start of list" if isinstance(document, list) else "A scalar"
        raise ServiceError("SerializationException", f"{found} found where not expected", is_front_end=True)
    return document


def parse_model_body(body: bytes) -> object:
    """Parse a body in a model's own format.

    Raises:
        ServiceError: a ValidationException.
    """
    try:
        document: object = json.loads(body)
    except json.JsonError:
        raise invalid(MALFORMED) from None
    return document
