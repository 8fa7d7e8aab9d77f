"""The schemas of tools, as a model accepts them."""

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.grammar import fit_together, grammar_of
from app.adaptation.schemas import has_unions, without_unions
from app.converse.request import Tool
from app.wire.json import JsonObject

_NEVER_NULL = ("properties", "required")


def adapt_tool_schemas(adapted: AdaptedRequest) -> None:
    """Give every schema the type `object` (goose#5064), and remove `strict` where the model refuses it.

    "tools.0.custom.strict: Extra inputs are not permitted" (litellm#31582, #33193).
    """
    config = adapted.body["toolConfig"]
    tools = [_with_object_schema(tool, adapted) for tool in config["tools"]]
    grammars = [_grammar(tool, given, adapted) for tool, given in zip(tools, config["tools"], strict=True)]
    adapted.grammars = [grammar for grammar in grammars if grammar is not None]
    if adapted.capabilities.schemas.bounded_grammar and not fit_together(adapted.grammars, len(adapted.grammars)):
        adapted.grammars, grammars = [], [None for _ in tools]
    fitted = [_as_strict_as_can_be(tool, grammar, adapted) for tool, grammar in zip(tools, grammars, strict=True)]
    if fitted != config["tools"]:
        adapted.body["toolConfig"] = {**config, "tools": fitted}


def _with_object_schema(tool: Tool, adapted: AdaptedRequest) -> Tool:
    spec = tool.get("toolSpec")
    if spec is None:
        return tool
    schema = spec["inputSchema"]["json"]
    whole = schema if schema.get("type") == "object" else {**schema, "type": "object"}
    if any(name in whole and whole[name] is None for name in _NEVER_NULL):
        # "$.properties: null found, object expected" (maximhq/bifrost#1720)
        whole = {name: value for name, value in whole.items() if value is not None or name not in _NEVER_NULL}
    fitted = whole if adapted.capabilities.schemas.top_level_unions else without_unions(whole)
    fitted = adapted.inliner.bare(fitted) if adapted.capabilities.schemas.bare else fitted
    return tool if fitted == schema else _with_schema(tool, fitted, adapted)


def _with_schema(tool: Tool, schema: JsonObject, adapted: AdaptedRequest) -> Tool:
    adapted.adjust("tool_schema")
    return {"toolSpec": {**tool["toolSpec"], "inputSchema": {"json": schema}}}


def _is_strict(tool: Tool) -> bool:
    return "toolSpec" in tool and bool(tool["toolSpec"].get("strict"))


def _grammar(tool: Tool, given: Tool, adapted: AdaptedRequest) -> JsonObject | None:
    """Return the grammar of a strict tool; None where there is none, or where the schema was made looser before."""
    if not adapted.capabilities.schemas.strict_tools or not _is_strict(tool):
        return None
    schema, before = (each["toolSpec"]["inputSchema"]["json"] for each in (tool, given))
    return grammar_of(schema) if has_unions(schema) == has_unions(before) else None


def _as_strict_as_can_be(tool: Tool, grammar: JsonObject | None, adapted: AdaptedRequest) -> Tool:
    if not _is_strict(tool):
        return tool
    spec = tool["toolSpec"]
    if grammar is not None:
        return tool if grammar == spec["inputSchema"]["json"] else _with_schema(tool, grammar, adapted)
    adapted.adjust("tool_strict")
    loose = spec.copy()
    del loose["strict"]
    return {"toolSpec": loose}
