"""Structured answers: a schema enforced natively, by a forced tool, or by asking.

Evidence: recordings native_output (textFormat on Claude 4.5 and 4.6, Gemma 3, MiniMax, Qwen 3, GLM); AWS user guide:
`additionalProperties: false` is required on every object. Pain 18.
"""

from typing import Any

from app.adaptation.adapted_request import Draft
from app.adaptation.grammar import fit_together, grammar_of
from app.adaptation.schemas import without_unions
from app.converse.request import JsonSchemaDefinition
from app.errors import InvalidRequest
from app.wire import json

ANSWER_TOOL = "json_answer"


def adapt_output(draft: Draft) -> None:
    """Have the model answer in the shape that the caller asked for."""
    if draft.intent.json_object:
        draft.add_instruction("Answer with one JSON object and nothing else: no prose, no code fence.")
        draft.repair("response_format")
    wanted = draft.body.get("outputConfig", {}).get("textFormat")
    if wanted is None:
        return
    definition = wanted["structure"]["jsonSchema"]
    try:
        schema = json.loads(definition["schema"])
    except json.JsonError:
        where = draft.path("response_format.json_schema.schema")
        raise InvalidRequest("the schema is nested too deeply", param=where) from None
    grammar = grammar_of(schema) if draft.capabilities.structured == "native" else None
    match draft.capabilities.structured:
        case "native" if grammar is not None and _fits(draft, grammar):
            if grammar != schema:
                _put_grammar(draft, definition, grammar)
        case "native" | "tool" if _may_force_tool(draft, schema):
            _force_answer_tool(draft, definition, schema)
        case _:
            _ask(draft, definition)


def _fits(draft: Draft, grammar: Any) -> bool:
    """True if the grammar goes with those of the tools, where the model takes only so much of all."""
    return not draft.capabilities.bounded_grammar or fit_together([grammar, *draft.grammars], len(draft.grammars))


def _put_grammar(draft: Draft, definition: JsonSchemaDefinition, grammar: Any) -> None:
    changed: JsonSchemaDefinition = {**definition, "schema": json.dumps_text(grammar)}
    draft.body["outputConfig"] = {
        **draft.body["outputConfig"],
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": changed}},
    }
    draft.repair("response_format")


def _may_force_tool(draft: Draft, schema: Any) -> bool:
    is_thinking = draft.intent.effort not in (None, "none") and draft.capabilities.reasoning != "none"
    can_be_forced = draft.capabilities.tools and bool(draft.capabilities.tool_choices)
    is_object = isinstance(schema, dict) and schema.get("type") == "object"
    is_object = is_object and (draft.capabilities.top_level_unions or without_unions(schema) is schema)
    return can_be_forced and is_object and not is_thinking and "toolConfig" not in draft.body


def _force_answer_tool(draft: Draft, definition: JsonSchemaDefinition, schema: Any) -> None:
    description = definition.get("description") or "Give your answer by calling this tool."
    draft.body["toolConfig"] = {
        "tools": [
            {
                "toolSpec": {
                    "name": ANSWER_TOOL,
                    "description": description,
                    "inputSchema": {"json": draft.inliner.bare(schema) if draft.capabilities.bare_schemas else schema},
                }
            }
        ],
        "toolChoice": {"tool": {"name": ANSWER_TOOL}} if "tool" in draft.capabilities.tool_choices else {"any": {}},
    }
    draft.undo.answer_tool = ANSWER_TOOL
    draft.repair("response_format")
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
