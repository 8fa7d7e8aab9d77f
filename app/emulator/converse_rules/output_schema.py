"""The JSON schema of `outputConfig`."""

from app.converse.request import ConverseRequest
from app.emulator.errors import invalid, model_refused
from app.emulator.request_parts import text_format
from app.emulator.schema_compiler import schema_error
from app.wire import json


def check_output_schema(request: ConverseRequest) -> None:
    """Check that the schema is JSON, and that Bedrock can compile it (AWS user guide, structured output)."""
    output_format = text_format(request)
    if not output_format:
        return
    try:
        schema = json.loads(output_format["structure"]["jsonSchema"]["schema"])
    except json.JsonError:
        schema = None
    if not isinstance(schema, dict):
        raise invalid("The value at outputConfig.textFormat.structure.jsonSchema.schema is not a valid JSON schema.")
    if error := schema_error(schema):
        raise model_refused(f"output_config.format.schema: {error}")
