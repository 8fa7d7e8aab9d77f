"""The scenario that answers by a schema."""

from app.converse.request import ConverseRequest
from app.emulator.request_parts import text_format
from app.emulator.scripted_models.schema_samples import sample_value
from app.emulator.scripted_models.script import Script
from app.emulator.scripted_models.tool_use import call_only
from app.wire import json


def answer_by_schema(request: ConverseRequest) -> Script:
    """Answer with JSON that conforms to `outputConfig`; without one, call a tool."""
    output_format = text_format(request)
    if output_format is None:
        return call_only(request)
    schema = json.loads(output_format["structure"]["jsonSchema"]["schema"])
    return Script([{"text": json.dumps_text(sample_value(schema))}])
