"""Structured output: a JSON schema enforced by Bedrock, by a forced tool, or by an instruction.

Evidence: recordings native_output (textFormat on Claude 4.5 and 4.6, Gemma 3, MiniMax, Qwen 3, GLM); AWS user guide:
`additionalProperties: false` is required on every object. See Portkey#1547.
"""

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.grammar import fit_together, grammar_of
from app.adaptation.schemas import has_unions, requires_all
from app.converse.request import JsonSchemaDefinition
from app.errors import InvalidRequest
from app.wire import json
from app.wire.json import JsonObject

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
            if adapted.capabilities.schemas.strict_format:
                adapted.add_field("text", {"format": {"strict": True}})
        case "native" | "tool" if _may_force_tool(adapted, schema):
            _force_answer_tool(adapted, definition, schema)
        case _:
            _ask(adapted, definition)


def _fits(adapted: AdaptedRequest, grammar: JsonObject) -> bool:
    """Tell whether the model accepts the grammar together with those of the tools."""
    if adapted.capabilities.schemas.strict_format and not requires_all(grammar):
        return False
    return not adapted.capabilities.schemas.bounded_grammar or fit_together(
        [grammar, *adapted.grammars], len(adapted.grammars)
    )


def _put_grammar(adapted: AdaptedRequest, definition: JsonSchemaDefinition, grammar: JsonObject) -> None:
    changed: JsonSchemaDefinition = {**definition, "schema": json.dumps_text(grammar)}
    adapted.body["outputConfig"] = {
        **adapted.body["outputConfig"],
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": changed}},
    }
    adapted.adjust("response_format")


def _may_force_tool(adapted: AdaptedRequest, schema: object) -> bool:
    capabilities = adapted.capabilities
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return False
    reasons = adapted.intent.effort not in (None, "none") and capabilities.reasoning.request != "none"
    can_be_forced = capabilities.tools.accepted and bool(capabilities.tools.choices)
    is_accepted = capabilities.schemas.top_level_unions or not has_unions(schema)
    return can_be_forced and is_accepted and not reasons and "toolConfig" not in adapted.body


def _force_answer_tool(adapted: AdaptedRequest, definition: JsonSchemaDefinition, schema: JsonObject) -> None:
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
    described = f"{definition['description']}\n" if definition.get("description") else ""
    adapted.add_instruction(
        f"{described}Answer with JSON only, without prose or code fence, valid against this JSON schema: "
        + definition["schema"]
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
