"""Fit a body of Anthropic's format to one model's InvokeModel, changing nothing but what Bedrock refuses.

The table is docs/reference/contracts/anthropic-on-invokemodel.md#body.
A field of the body itself that Bedrock is not known to take is left out and named:
it would refuse the whole call for one. What messages, blocks and tools hold crosses as it came, so that what Anthropic
adds there needs no release of ours, and so that Bedrock's own words reach the caller where it refuses something.
"""

from typing import Any

from msgspec import field

from app.adaptation.adapted_request import PLACEHOLDER, AdaptedBody
from app.adaptation.anthropic_body import (
    REASONING,
    fit_call,
    fit_content,
    fit_image,
    fit_result,
    fit_to_claude,
    is_blank,
    without_blanks,
)
from app.adaptation.betas import EDITS, EFFORT, FINE_GRAINED_TOOLS, PER_MESSAGE_OUTPUT, filter_betas
from app.adaptation.call_ids import CLAUDES_OWN, CallIds
from app.adaptation.schemas import without_unions
from app.adaptation.tool_loops import beginning_of_loop
from app.converse.call import NativeCall
from app.errors import InvalidRequest
from app.models.capabilities import Capabilities
from app.wire.documents import listed, text_in

_VERSION = "bedrock-2023-05-31"
_NEWEST_VERSION = "2026-10-21"
_FIELDS = frozenset(
    {
        "compaction", "context_management", "max_tokens", "messages", "metadata", "output_config", "safeguards",
        "stop_sequences", "system", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
    }
)  # fmt: skip
_CACHEABLE = frozenset({"text", "image", "document", "search_result", "tool_use", "tool_result"})
_CALLS = ("tool_use", "tool_result")
_NOTHING: dict[str, Any] = {}
_CARRIED_ELSEWHERE = frozenset({"model", "stream", "anthropic_version", "anthropic_beta", "cache_control"})
_KNOWN = _FIELDS | _CARRIED_ELSEWHERE


class AdaptedInvokeBody(AdaptedBody):
    """A body of Anthropic's on its way to one model, the betas that go with it, and the ids of its calls, if any."""

    betas: list[str] = field(default_factory=list)
    ids: CallIds | None = None


def adapt_invoke(
    call: NativeCall, capabilities: Capabilities, also_passed: frozenset[str] = frozenset()
) -> AdaptedInvokeBody:
    """The body that this model's InvokeModel takes.

    Args:
        call: its document is left alone. also_passed: betas that this deployment lets pass.

    Raises:
        InvalidRequest: the body holds what must be fetched first, with the path of the field.
    """
    document, betas = call.document, call.betas
    version = document.get("anthropic_version") or call.version
    own_betas = document.get("anthropic_beta")
    strings = [each for each in own_betas if isinstance(each, str)] if isinstance(own_betas, list) else []
    asked = [*betas, *strings]
    kept, dropped = filter_betas(asked, also_passed)
    body = {name: value for name, value in document.items() if name in _FIELDS and value is not None}
    adapted = AdaptedInvokeBody(body, capabilities, betas=kept)
    if not document.keys() <= _KNOWN:
        adapted.ignored += [name for name, value in document.items() if name not in _KNOWN and value is not None]
    adapted.ignored += [f"anthropic-beta:{beta}" for beta in dropped]
    if own_betas is not None and strings != own_betas:
        adapted.ignored.append("anthropic_beta")
    _adapt_edits(adapted)
    fit_to_claude(adapted)
    if capabilities.reasoning.budget_and_effort and text_in(body.get("output_config"), "effort"):
        _add_beta(adapted, EFFORT)
    _adapt_messages(adapted, document.get("cache_control"))
    _adapt_tools(adapted)
    if isinstance(body.get("system"), list):
        system = [_cacheable(block, f"system[{index}]", adapted) for index, block in enumerate(body["system"])]
        body["system"] = without_blanks(system, adapted)
    if "system" in body and (body["system"] == [] or is_blank(body["system"])):
        del body["system"]
        adapted.adjust("blank_text")
    is_newest = version == _NEWEST_VERSION and capabilities.native.newest_anthropic_version
    body["anthropic_version"] = _NEWEST_VERSION if is_newest else _VERSION
    if adapted.betas:
        body["anthropic_beta"] = adapted.betas
    return adapted


def _adapt_edits(adapted: AdaptedInvokeBody) -> None:
    """Keep the edits of the context that Bedrock knows, each with its beta."""
    management = adapted.body.pop("context_management", None)
    if management is None:
        return
    edits = management.get("edits") if isinstance(management, dict) else None
    edits = edits if isinstance(edits, list) else []
    kept = [edit for edit in edits if text_in(edit, "type") in EDITS]
    if len(kept) < max(len(edits), 1) or set(management) != {"edits"}:
        adapted.ignored.append("context_management")
    if kept:
        adapted.body["context_management"] = {"edits": kept}
        for kind in dict.fromkeys(edit["type"] for edit in kept):
            _add_beta(adapted, EDITS[kind])


def _adapt_messages(adapted: AdaptedInvokeBody, cache_control: Any) -> None:
    messages = adapted.body.get("messages")
    if not isinstance(messages, list):
        return
    takes_output = PER_MESSAGE_OUTPUT in adapted.betas
    fitted = [_message(message, index, adapted, takes_output) for index, message in enumerate(messages)]
    if _NOTHING in fitted:  # neighbours of one role are one turn to Claude
        fitted = [message for message in fitted if message is not _NOTHING]
    if not adapted.capabilities.turns.system:
        fitted = _without_system_turns(fitted, adapted)
    if cache_control is not None:
        _cache_last_block(fitted, cache_control, adapted)
    adapted.body["messages"] = fitted
    _think_only_behind_reasoning(adapted)


def _message(message: Any, index: int, adapted: AdaptedInvokeBody, takes_output: bool) -> Any:
    """The message as Claude takes it; nothing where it is a turn of the assistant's of which nothing is left."""
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    if type(content) is str and "output_config" not in message and not is_blank(content):
        return message
    path, role = f"messages[{index}]", text_in(message, "role")
    if "output_config" in message and not takes_output:
        message = {name: value for name, value in message.items() if name != "output_config"}
        adapted.ignored.append(f"{path}.output_config")
    if isinstance(content, list):
        content = fit_content(_blocks(content, path, adapted), role, path, adapted)
    elif is_blank(content):
        adapted.adjust("blank_text")
        content = "" if role == "assistant" else PLACEHOLDER
    if role == "assistant" and content in ([], ""):
        return _NOTHING
    return {**message, "content": content} if "content" in message else message


def _think_only_behind_reasoning(adapted: AdaptedInvokeBody) -> None:
    """Have nothing thought where a loop of calls began without a thought: it must begin with one ("Expected `thinking`
    or `redacted_thinking`, but found `tool_use`"), and another model may have begun it.
    """
    if text_in(adapted.body.get("thinking"), "type") != "enabled":
        return
    beginning = beginning_of_loop(
        adapted.body["messages"], lambda turn: text_in(turn, "role") == "assistant", _has_results
    )
    if beginning is not None and text_in(_as_blocks(beginning.get("content"))[0], "type") not in REASONING:
        del adapted.body["thinking"]
        adapted.adjust("reasoning_effort")


def _has_results(turn: Any) -> bool:
    return isinstance(turn, dict) and any(
        text_in(block, "type") == "tool_result" for block in listed(turn.get("content"))
    )


def _block(block: Any, path: str, adapted: AdaptedInvokeBody) -> Any:
    """The block, and whatever blocks it holds, with nothing in them that Bedrock does not know."""
    if not isinstance(block, dict):
        return block
    block = _cacheable(block, path, adapted)
    if block.get("type") in _CALLS:
        adapted.ids = adapted.ids or CallIds(CLAUDES_OWN)
        block = fit_call(block, adapted.ids, adapted)
    source = block.get("source")
    if isinstance(source, dict):
        if block.get("type") == "image":
            block = fit_image(block, source, adapted)
        if source.get("type") in ("url", "file"):
            raise InvalidRequest(
                "must be base64: other addresses are not fetched here, nor are files of Anthropic's",
                param=f"{path}.source",
            )
        if isinstance(source.get("content"), list):
            block = {**block, "source": {**source, "content": _blocks(source["content"], f"{path}.source", adapted)}}
    if isinstance(block.get("content"), list):
        block = {**block, "content": _blocks(block["content"], path, adapted)}
    return fit_result(block, adapted) if block.get("type") == "tool_result" else block


def _blocks(blocks: list[Any], path: str, adapted: AdaptedInvokeBody) -> list[Any]:
    return [_block(block, f"{path}.content[{index}]", adapted) for index, block in enumerate(blocks)]


def _cacheable(block: Any, path: str, adapted: AdaptedInvokeBody) -> Any:
    """The block with no more in its cache_control than Bedrock and the model know."""
    control = block.get("cache_control") if isinstance(block, dict) else None
    if not isinstance(control, dict):
        return block
    return {**block, "cache_control": _control(control, f"{path}.cache_control", adapted)}


def _control(control: dict[str, Any], path: str, adapted: AdaptedInvokeBody) -> dict[str, Any]:
    known = {"type", "ttl"} if adapted.capabilities.caching.ttl else {"type"}
    given = {name: value for name, value in control.items() if value is not None}
    if "ttl" in given and "ttl" not in known:
        adapted.adjust("cache_ttl")
    adapted.ignored += [f"{path}.{name}" for name in given if name not in ("type", "ttl")]
    return {name: value for name, value in given.items() if name in known}


def _without_system_turns(messages: list[Any], adapted: AdaptedInvokeBody) -> list[Any]:
    """The system's turns as the user's, and neighbours of one role as one turn, tool results first."""
    if "system" not in [message.get("role") for message in messages if isinstance(message, dict)]:
        return messages
    adapted.adjust("system_turn")
    groups: list[list[Any]] = []
    for index, message in enumerate(messages):
        is_system = isinstance(message, dict) and message.get("role") == "system"
        turn = {**message, "role": "user"} if is_system else message
        if groups and _are_of_one_role(groups[-1][0], turn):
            adapted.ignored += [f"messages[{index}].{name}" for name in turn if name not in ("role", "content")]
            groups[-1].append(turn)
        else:
            groups.append([turn])
    return [_merged(group) if len(group) > 1 else group[0] for group in groups]


def _are_of_one_role(turn: Any, other: Any) -> bool:
    return isinstance(turn, dict) and isinstance(other, dict) and turn.get("role") == other.get("role")


def _merged(turns: list[dict[str, Any]]) -> dict[str, Any]:
    blocks = [block for turn in turns for block in _as_blocks(turn.get("content"))]
    return {**turns[0], "content": sorted(blocks, key=_is_no_result)}


def _is_no_result(block: Any) -> bool:
    return not (isinstance(block, dict) and block.get("type") == "tool_result")


def _as_blocks(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _cache_last_block(messages: list[Any], control: Any, adapted: AdaptedInvokeBody) -> None:
    """A cache point for the whole request stands on its last block that can have one."""
    if not isinstance(control, dict):
        adapted.ignored.append("cache_control")
        return
    for index in range(len(messages) - 1, -1, -1):
        blocks = _as_blocks(messages[index].get("content")) if isinstance(messages[index], dict) else []
        for number in range(len(blocks) - 1, -1, -1):
            if _can_be_cached(blocks[number]):
                own = blocks[number].get("cache_control") or _control(control, "cache_control", adapted)
                marked = {**blocks[number], "cache_control": own}
                messages[index] = {**messages[index], "content": [*blocks[:number], marked, *blocks[number + 1 :]]}
                return
    adapted.ignored.append("cache_control")


def _can_be_cached(block: Any) -> bool:
    if text_in(block, "type") not in _CACHEABLE:
        return False
    return block["type"] != "text" or bool(block.get("text"))


def _adapt_tools(adapted: AdaptedInvokeBody) -> None:
    tools = adapted.body.get("tools")
    if isinstance(tools, list):
        adapted.body["tools"] = [_tool(tool, f"tools[{index}]", adapted) for index, tool in enumerate(tools)]
        if any(isinstance(tool, dict) and tool.get("eager_input_streaming") for tool in tools):
            _add_beta(adapted, FINE_GRAINED_TOOLS)


def _tool(tool: Any, path: str, adapted: AdaptedInvokeBody) -> Any:
    if not isinstance(tool, dict):
        return tool
    custom = tool.get("custom")
    if isinstance(custom, dict):
        tool = {**custom, **{name: value for name, value in tool.items() if name != "custom"}}
    tool = _cacheable(tool, path, adapted).copy()
    tool.pop("eager_input_streaming", None)
    if not adapted.capabilities.schemas.strict_tools and tool.pop("strict", False):
        adapted.adjust("strict")
    schema = tool.get("input_schema")
    if isinstance(schema, dict) and not adapted.capabilities.schemas.top_level_unions:
        tool["input_schema"] = without_unions(schema)
        if tool["input_schema"] is not schema:
            adapted.adjust("tool_schema")
    return tool


def _add_beta(adapted: AdaptedInvokeBody, beta: str) -> None:
    if beta not in adapted.betas:
        adapted.betas.append(beta)
