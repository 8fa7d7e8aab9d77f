"""Access to `additionalModelRequestFields`."""

from app.converse.request import ConverseRequest
from app.wire.json import JsonObject


def model_fields(request: ConverseRequest) -> JsonObject:
    """The fields of the model's own format in a Converse request; empty where they are no object."""
    fields = request.get("additionalModelRequestFields")
    return fields if isinstance(fields, dict) else {}
