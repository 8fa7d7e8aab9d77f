"""Structured output: a JSON schema enforced by Bedrock, by a forced tool, or by an instruction.

Evidence: recordings native_output (textFormat on Claude 4.5 and 4.6, Gemma 3, MiniMax, Qwen 3, GLM); AWS user guide:
`additionalProperties: false` is required on every object. See Portkey#1547.
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.grammar import fit_together, grammar_of
from app.adaptation.schemas import without_unions
from app.converse.request import JsonSchemaDefinition
from app.errors import InvalidRequest
from app.wire import json

ANSWER_TOOL = "json_answer"


def adapt_output(adapted: AdaptedRequest) -> None:
    """Request the output format that the caller wants as the model accepts it."""
    if adapted.intent.json_object:
        adapted.add_instruction("Answer with one JSON object and nothing else: no prose, no code fence.")
        adapted.adjust("response_format")
    wanted = adapted.body.get("outputConfig", {}).get("textFormat")
    if wanted is None:
        return
    definition = wanted["structure"]["jsonSchema"]
    try:
        schema = json.loads(definition["schema"])
    except json.JsonError:
        where = adapted.path("response_format.json_schema.schema")
        raise InvalidRequest("the schema is nested too deeply", param=where) from None
    grammar = grammar_of(schema) if adapted.capabilities.schemas.structured_output == "native" else None
    match adapted.capabilities.schemas.structured_output:
        case "native" if grammar is not None and _fits(adapted, grammar):
            if grammar != schema:
                _put_grammar(adapted, definition, grammar)
        case "native" | "tool" if _may_force_tool(adapted, schema):
            _force_answer_tool(adapted, definition, schema)
        case _:
            _ask(adapted, definition)


def _fits(adapted: AdaptedRequest, grammar: Any) -> bool:
    """Tell whether the model accepts the grammar together with those of the tools."""
    return not adapted.capabilities.schemas.bounded_grammar or fit_together(
        [grammar, *adapted.grammars], len(adapted.grammars)
    )


def _put_grammar(adapted: AdaptedRequest, definition: JsonSchemaDefinition, grammar: Any) -> None:
    changed: JsonSchemaDefinition = {**definition, "schema": json.dumps_text(grammar)}
    adapted.body["outputConfig"] = {
        **adapted.body["outputConfig"],
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": changed}},
    }
    adapted.adjust("response_format")


def _may_force_tool(adapted: AdaptedRequest, schema: Any) -> bool:
    is_thinking = adapted.intent.effort not in (None, "none") and adapted.capabilities.reasoning.request != "none"
    can_be_forced = adapted.capabilities.tools.accepted and bool(adapted.capabilities.tools.choices)
    is_object = isinstance(schema, dict) and schema.get("type") == "object"
    is_object = is_object and (adapted.capabilities.schemas.top_level_unions or without_unions(schema) is schema)
    return can_be_forced and is_object and not is_thinking and "toolConfig" not in adapted.body


def _force_answer_tool(adapted: AdaptedRequest, definition: JsonSchemaDefinition, schema: Any) -> None:
    description = definition.get("description") or "Give your answer by calling this tool."
    adapted.body["toolConfig"] = {
        "tools": [
            {
                "toolSpec": {
                    "name": ANSWER_TOOL,
                    "description": description,
                    "inputSchema": {
                        "json": adapted.inliner.bare(schema) if adapted.capabilities.schemas.bare else schema
                    },
                }
            }
        ],
        "toolChoice": {"tool": {"name": ANSWER_TOOL}} if "tool" in adapted.capabilities.tools.choices else {"any": {}},
    }
    adapted.mapping.answer_tool = ANSWER_TOOL
    adapted.adjust("response_format")
    _drop_text_format(adapted)


def _ask(adapted: AdaptedRequest, definition: JsonSchemaDefinition) -> None:
    adapted.add_instruction(
        "Answer with JSON only, without prose or code fence, valid against this JSON schema: " + definition["schema"]
    )
    adapted.adjust("response_format")
    _drop_text_format(adapted)


def _drop_text_format(adapted: AdaptedRequest) -> None:
    rest = adapted.body["outputConfig"].copy()
    del rest["textFormat"]
    if rest:
        adapted.body["outputConfig"] = rest
    else:
        del adapted.body["outputConfig"]
