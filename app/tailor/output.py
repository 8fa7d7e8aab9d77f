"""Structured answers: a schema enforced natively, by a forced tool, or by asking.

Evidence: recordings native_output (textFormat on Claude 4.5 and 4.6, Gemma 3, MiniMax, Qwen 3, GLM); AWS user guide:
`additionalProperties: false` is required on every object. Pain 18.
"""

from typing import Any

from app.converse.request import JsonSchemaDefinition
from app.kit import json
from app.tailor.draft import Draft

ANSWER_TOOL = "json_answer"

# keywords of JSON Schema that hold a schema, schemas by name, and schemas in a row; all others hold data
_SCHEMAS = frozenset({"items", "not", "if", "then", "else", "contains", "additionalProperties", "propertyNames"})
_SCHEMA_MAPS = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
_SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})


def tailor_output(draft: Draft) -> None:
    """Have the model answer in the shape that the caller asked for."""
    if draft.intent.json_object:
        draft.add_instruction("Answer with one JSON object and nothing else: no prose, no code fence.")
    wanted = draft.body.get("outputConfig", {}).get("textFormat")
    if wanted is None:
        return
    definition = wanted["structure"]["jsonSchema"]
    match draft.traits.structured:
        case "native":
            _close_schema(draft, definition)
        case "tool" if _may_force_tool(draft, json.loads(definition["schema"])):
            _force_answer_tool(draft, definition)
        case _:
            _ask(draft, definition)


def _close_schema(draft: Draft, definition: JsonSchemaDefinition) -> None:
    schema = json.loads(definition["schema"])
    closed = _closed(schema)
    if closed == schema:
        return
    changed: JsonSchemaDefinition = {**definition, "schema": json.dumps_text(closed)}
    draft.body["outputConfig"] = {
        **draft.body["outputConfig"],
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": changed}},
    }
    draft.repair("response_format")


def _closed(schema: Any) -> Any:
    """The schema with `additionalProperties: false` on every object that leaves it open by saying nothing."""
    if not isinstance(schema, dict):
        return schema
    closed: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _SCHEMA_MAPS and isinstance(value, dict):
            closed[keyword] = {name: _closed(each) for name, each in value.items()}
        elif keyword in _SCHEMA_LISTS and isinstance(value, list):
            closed[keyword] = [_closed(each) for each in value]
        else:
            closed[keyword] = _closed(value) if keyword in _SCHEMAS else value
    kind = closed.get("type", "object" if "properties" in closed else None)
    if "additionalProperties" not in closed and (kind == "object" or (isinstance(kind, list) and "object" in kind)):
        closed["additionalProperties"] = False
    return closed


def _may_force_tool(draft: Draft, schema: Any) -> bool:
    is_thinking = draft.intent.effort not in (None, "none") and draft.traits.reasoning != "none"
    can_be_forced = draft.traits.tools and "tool" in draft.traits.tool_choices
    is_object = isinstance(schema, dict) and schema.get("type") == "object"
    return can_be_forced and is_object and not is_thinking and "toolConfig" not in draft.body


def _force_answer_tool(draft: Draft, definition: JsonSchemaDefinition) -> None:
    description = definition.get("description") or "Give your answer by calling this tool."
    draft.body["toolConfig"] = {
        "tools": [
            {
                "toolSpec": {
                    "name": ANSWER_TOOL,
                    "description": description,
                    "inputSchema": {"json": json.loads(definition["schema"])},
                }
            }
        ],
        "toolChoice": {"tool": {"name": ANSWER_TOOL}},
    }
    draft.undo.answer_tool = ANSWER_TOOL
    _drop_text_format(draft)


def _ask(draft: Draft, definition: JsonSchemaDefinition) -> None:
    draft.add_instruction(
        "Answer with JSON only, without prose or code fence, valid against this JSON schema: " + definition["schema"]
    )
    draft.repair("response_format")
    _drop_text_format(draft)


def _drop_text_format(draft: Draft) -> None:
    rest = draft.body["outputConfig"].copy()
    del rest["textFormat"]
    if rest:
        draft.body["outputConfig"] = rest
    else:
        del draft.body["outputConfig"]
