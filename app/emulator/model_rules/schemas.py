"""Schemas of tools, strict tools, and structured output of Claude."""

from app.converse.request import ConverseRequest, ToolSpecification
from app.emulator.catalog import Model
from app.emulator.model_rules.refusal import ModelRefusal
from app.emulator.request_parts import text_format, tools_of
from app.emulator.schema_compiler import combined_error, schema_error
from app.wire import json

_STRICT = ("claude-4.5", "claude-4.6")


def check_strict_tools(model: Model, request: ConverseRequest) -> None:
    """Refuse strict tools where the model has none, and schemas that cannot be compiled.

    litellm#31582 and #33193; recording strict_tool_calls for Sonnet 4.5, vercel/ai#18199 for 4.6.
    """
    specifications = _specifications(request)
    for index, specification in specifications.items():
        if specification.get("strict") and model.rules not in _STRICT:
            raise ModelRefusal(f"tools.{index}.custom.strict: Extra inputs are not permitted")
    strict = {index: tool["inputSchema"]["json"] for index, tool in specifications.items() if tool.get("strict")}
    for index, schema in strict.items():
        if error := schema_error(schema):
            raise ModelRefusal(f"tools.{index}.custom: {error}")
    output = _output_schemas(request)
    for output_schema in output:
        if error := schema_error(output_schema):
            raise ModelRefusal(f"output_config.format.schema: {error}")
    if error := combined_error([*strict.values(), *output], len(strict)):
        raise ModelRefusal(error)


def check_output_format(model: Model, request: ConverseRequest) -> None:
    """Structured output is not supported since 4.7: anthropic-sdk-python#1759 and vercel/ai#14773."""
    if model.rules == "claude-5" and text_format(request):
        raise ModelRefusal("output_config.format: Extra inputs are not permitted")


def check_tool_schemas(request: ConverseRequest) -> None:
    """Refuse combining keywords at the top of a tool's schema: cua#3303, kilocode#12246."""
    for index, specification in _specifications(request).items():
        schema: json.JsonObject = specification["inputSchema"].get("json", {})
        if {"oneOf", "allOf", "anyOf"} & schema.keys():
            path = f"tools.{index}.custom.input_schema"
            raise ModelRefusal(f"{path}: input_schema does not support oneOf, allOf, or anyOf at the top level")


def _specifications(request: ConverseRequest) -> dict[int, ToolSpecification]:
    """The tools that have a specification, by their index in `toolConfig.tools`."""
    return {index: tool["toolSpec"] for index, tool in enumerate(tools_of(request)) if "toolSpec" in tool}


def _output_schemas(request: ConverseRequest) -> list[object]:
    output_format = text_format(request)
    return [json.loads(output_format["structure"]["jsonSchema"]["schema"])] if output_format else []
