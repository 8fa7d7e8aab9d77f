"""Tools: declarations that the history needs, names and ids that Converse accepts, the choice that a model accepts.

Evidence: "The toolConfig field must be defined when using toolUse and toolResult content blocks" (pentagi#160);
names and ids must match patterns of the service model (kibana#206487, openclaw#12892); duplicate
ids are refused (litellm#20047); "This model doesn't support the toolConfig.toolChoice.any field" (harness-sdk#1241).
"""

import hashlib
import re
from typing import Any, cast

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.call_ids import CLAUDES, CONVERSES, CallIds
from app.adaptation.grammar import fit_together, grammar_of
from app.adaptation.schemas import has_unions, without_unions
from app.converse.content import ContentBlock
from app.converse.request import Message, Tool
from app.errors import InvalidRequest

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_NEVER_NULL = ("properties", "required")


def adapt_tools(adapted: AdaptedRequest) -> None:
    """Change toolConfig and the tool blocks of the history into those that the model accepts.

    Raises:
        InvalidRequest: there are tools, and the model accepts none.
    """
    names = _called_names(adapted)
    if "toolConfig" not in adapted.body and not names and not _has_results(adapted):
        return
    _declare(adapted, names)
    if adapted.intent.forbid_tools:
        _forbid(adapted, is_needed=bool(names) or _has_results(adapted))
    if "toolConfig" in adapted.body:
        if not adapted.capabilities.tools.accepted:
            raise InvalidRequest("this model takes no tools", param="tools")
        _choose(adapted)
        _complete_schemas(adapted)
        _rename(adapted)
    _adjust_ids(adapted)


def _called_names(adapted: AdaptedRequest) -> list[str]:
    calls = [block["toolUse"] for block in adapted.blocks() if "toolUse" in block]
    return list(dict.fromkeys(call["name"] for call in calls if call.get("type") != "server_tool_use"))


def _has_results(adapted: AdaptedRequest) -> bool:
    return any("toolResult" in block and "type" not in block["toolResult"] for block in adapted.blocks())


def _declare(adapted: AdaptedRequest, names: list[str]) -> None:
    """Declare the tools that the history calls where the caller declares none any more."""
    if "toolConfig" in adapted.body:
        return
    stubs: list[Tool] = [
        {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object", "properties": {}}}}}
        for name in names or ["unknown_tool"]
    ]
    adapted.body["toolConfig"] = {"tools": stubs}
    adapted.adjust("tools")


def _forbid(adapted: AdaptedRequest, *, is_needed: bool) -> None:
    if not is_needed:
        del adapted.body["toolConfig"]
        return
    adapted.body["toolConfig"] = {"tools": adapted.body["toolConfig"]["tools"]}
    adapted.mapping.drop_tool_calls = True
    adapted.adjust("tool_choice")


def unforce(adapted: AdaptedRequest, allowed: frozenset[str] = frozenset()) -> None:
    """Replace a forced choice that is not `allowed`. Where it named one tool, only that tool is offered."""
    config = adapted.body["toolConfig"]
    choice: Any = config.get("toolChoice", {})
    if "auto" in choice or choice.keys() <= allowed:
        return
    if "tool" in choice and (named := _only(config["tools"], choice["tool"]["name"])):
        adapted.body["toolConfig"] = {"tools": named}
        if "any" in allowed:
            adapted.body["toolConfig"]["toolChoice"] = {"any": {}}
            return
    else:
        adapted.body["toolConfig"] = {"tools": config["tools"]}
    adapted.adjust("tool_choice")


def _only(tools: list[Tool], name: str) -> list[Tool]:
    """Return the tool of a name with the last cache point of all tools; nothing if there is no such tool."""
    named = [tool for tool in tools if "toolSpec" in tool and tool["toolSpec"]["name"] == name]
    return [*named, *[tool for tool in tools if "cachePoint" in tool][-1:]] if named else []


def _choose(adapted: AdaptedRequest) -> None:
    unforce(adapted, adapted.capabilities.tools.choices)
    if adapted.intent.single_tool_call:
        if adapted.capabilities.tools.single_call_field:
            # with `type` it would collide with toolConfig.toolChoice: docs/reference/contracts/mapping.md#parameters
            adapted.add_field("tool_choice", {"disable_parallel_tool_use": True})
        else:
            adapted.mapping.first_tool_only = True
            adapted.adjust("parallel_tool_calls")


def _complete_schemas(adapted: AdaptedRequest) -> None:
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
    spec: Any = tool.get("toolSpec")
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


def _with_schema(tool: Tool, schema: Any, adapted: AdaptedRequest) -> Tool:
    adapted.adjust("tool_schema")
    spec: Any = tool["toolSpec"]
    return cast(Tool, {"toolSpec": {**spec, "inputSchema": {"json": schema}}})


def _is_strict(tool: Tool) -> bool:
    return bool(cast(Any, tool).get("toolSpec", {}).get("strict"))


def _grammar(tool: Tool, given: Tool, adapted: AdaptedRequest) -> dict[str, Any] | None:
    """Return the grammar of a strict tool; None where there is none, or where the schema was made looser before."""
    if not adapted.capabilities.schemas.strict_tools or not _is_strict(tool):
        return None
    schema, before = (cast(Any, each)["toolSpec"]["inputSchema"]["json"] for each in (tool, given))
    return grammar_of(schema) if has_unions(schema) == has_unions(before) else None


def _as_strict_as_can_be(tool: Tool, grammar: dict[str, Any] | None, adapted: AdaptedRequest) -> Tool:
    if not _is_strict(tool):
        return tool
    spec: Any = tool["toolSpec"]
    if grammar is not None:
        return tool if grammar == spec["inputSchema"]["json"] else _with_schema(tool, grammar, adapted)
    adapted.adjust("tool_strict")
    return cast(Tool, {"toolSpec": {name: value for name, value in spec.items() if name != "strict"}})


def _rename(adapted: AdaptedRequest) -> None:
    """Replace illegal names of tools everywhere, and map them back in the reply."""
    config = adapted.body["toolConfig"]
    declared = [tool["toolSpec"]["name"] for tool in config["tools"] if "toolSpec" in tool]
    illegal = {name for name in (*declared, *_called_names(adapted)) if not _NAME.match(name)}
    if not illegal:
        return
    legal = {name: _legal_name(name) for name in illegal}
    adapted.mapping.tool_names = {sent: name for name, sent in legal.items()}
    adapted.adjust("tool_names")
    tools = [
        cast(Tool, {**tool, "toolSpec": _renamed(tool["toolSpec"], legal)}) if "toolSpec" in tool else tool
        for tool in config["tools"]
    ]
    choice: Any = config.get("toolChoice")
    if choice and "tool" in choice:
        choice = {"tool": _renamed(choice["tool"], legal)}
    adapted.body["toolConfig"] = {"tools": tools, "toolChoice": choice} if choice else {"tools": tools}
    _map_blocks(adapted, lambda kind, block: _renamed(block, legal) if kind == "toolUse" else block)


def _renamed(named: Any, legal: dict[str, str]) -> Any:
    return {**named, "name": legal.get(named["name"], named["name"])}


def _legal_name(name: str) -> str:
    """Return a legal and unique name: the legal characters of a name, and eight digits of its hash."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:55] + "_" + hashlib.sha256(name.encode()).hexdigest()[:8]


def _adjust_ids(adapted: AdaptedRequest) -> None:
    ids = CallIds(CLAUDES if adapted.capabilities.tools.plain_ids else CONVERSES)

    def adjusted(kind: str, block: Any) -> Any:
        given = block["toolUseId"]
        sent = ids.of_call(given) if kind == "toolUse" else ids.of_result(given)
        return block if sent == given else {**block, "toolUseId": sent}

    if _map_blocks(adapted, adjusted):
        adapted.adjust("tool_ids")


def _map_blocks(adapted: AdaptedRequest, change: Any) -> bool:
    """Replace each tool block by the result of `change(kind, block)`; returns whether anything changed."""
    has_changed = False
    messages: list[Message] = []
    for message in adapted.body["messages"]:
        content: list[ContentBlock] = []
        for block in message["content"]:
            kind = next(iter(block))
            if kind in ("toolUse", "toolResult"):
                before = cast(Any, block)[kind]
                after = change(kind, before)
                has_changed = has_changed or after is not before
                content.append(cast(ContentBlock, {kind: after}))
            else:
                content.append(block)
        messages.append({**message, "content": content})
    adapted.body["messages"] = messages
    return has_changed
