"""What one Claude takes of Anthropic's format and another refuses: the words of a body that depend on its generation.

Clients are older and newer than the model behind a name, and routes lead from one generation to another. Evidence:
"thinking.type.enabled" is refused since 4.7 (kilocode#10732), `adaptive` up to 4.5 (llm-gateway#1928), efforts too;
sampling since 4.7 (promptfoo#10307), `temperature` beside `top_p` before (bedrock-access-gateway#191); a forced tool by
all that think (CLIProxyAPI#4070, experiential#804); ids of calls match `^[a-zA-Z0-9_-]+$`, each once (bifrost#5097,
claude-code#20901); models that do not think take no thoughts back (vercel/ai#7034).
"""

from typing import Any

from app.adaptation.adapted_request import PLACEHOLDER, AdaptedBody
from app.adaptation.call_ids import CallIds
from app.adaptation.reasoning import budget_for, effort_known
from app.converse.call import effort_of
from app.converse.media import image_format
from app.wire.documents import listed, text_in

_SAMPLING = ("temperature", "top_p", "top_k")
_FORCED = ("any", "tool")
REASONING = ("thinking", "redacted_thinking")
# Anthropic's own, where nobody names one
_EFFORT = "high"


def fit_to_claude(adapted: AdaptedBody) -> None:
    """Make a body's length, thinking, sampling and choice of tools what this Claude takes."""
    body, capabilities = adapted.body, adapted.capabilities
    limit = body.get("max_tokens")
    if isinstance(limit, int) and limit > capabilities.max_output:
        _shorten(adapted, capabilities.max_output)
    if "thinking" in body or "output_config" in body:
        _fit_thinking(adapted)
    if text_in(body.get("tool_choice"), "type") in _FORCED:
        _fit_choice(adapted)
    if not capabilities.sampling.accepted:
        _leave_out(adapted, *_SAMPLING)
    elif not capabilities.sampling.temperature_with_top_p and "temperature" in body:
        _leave_out(adapted, "top_p")


def _shorten(adapted: AdaptedBody, limit: int) -> None:
    """Ask for no more than the model gives, with the same share of it for thoughts if they had room below the wish."""
    body = adapted.body
    thinking: Any = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(budget, int) and limit <= budget < body["max_tokens"]:
        body["thinking"] = {**thinking, "budget_tokens": budget * limit // body["max_tokens"]}
        adapted.adjust("reasoning_effort")
    body["max_tokens"] = limit
    adapted.adjust("max_tokens")


def _fit_thinking(adapted: AdaptedBody) -> None:
    body, capabilities = adapted.body, adapted.capabilities
    effort = _fit_effort(adapted)
    thinking: Any = body.get("thinking")
    match text_in(thinking, "type"), capabilities.reasoning.request:
        case "disabled", "none":
            del body["thinking"]
            return
        case (("enabled" | "adaptive" | "between_tools"), "none"):
            del body["thinking"]
        case "disabled", _ if capabilities.reasoning.by_default == "always":
            del body["thinking"]
        case "between_tools", _ if capabilities.reasoning.by_default != "always":
            body["thinking"] = {"type": "disabled"}
        case "enabled", "adaptive" if capabilities.reasoning.adaptive_only:
            body["thinking"] = {"type": "adaptive", "display": text_in(thinking, "display") or "summarized"}
            budget = thinking.get("budget_tokens")
            if not effort and isinstance(budget, int):
                _put_effort(adapted, effort_of(budget))
        case "adaptive", "budget":
            limit = body.get("max_tokens")
            del body["thinking"]
            if budget := budget_for(effort or _EFFORT, limit if isinstance(limit, int) else None):
                body["thinking"] = {"type": "enabled", "budget_tokens": budget}
                _leave_out(adapted, *_SAMPLING)
        case _:
            _calm(adapted)
            return
    _calm(adapted)
    adapted.adjust("reasoning_effort")


def _fit_effort(adapted: AdaptedBody) -> str:
    """The effort that the caller wants, which is left out or lowered where the model does not know it."""
    effort = text_in(adapted.body.get("output_config"), "effort")
    if effort and (known := effort_known(effort, adapted.capabilities)) != effort:
        _put_effort(adapted, known)
        adapted.adjust("reasoning_effort")
    return effort


def _put_effort(adapted: AdaptedBody, effort: str) -> None:
    config = adapted.body.get("output_config")
    rest = {name: value for name, value in config.items() if name != "effort"} if isinstance(config, dict) else {}
    adapted.body["output_config"] = {**rest, "effort": effort} if effort else rest
    if not adapted.body["output_config"]:
        del adapted.body["output_config"]


def _calm(adapted: AdaptedBody) -> None:
    """No more effort than `high` where a Claude that would think is told not to: "output_config.effort 'xhigh' is not
    supported when thinking is disabled on this model" (claude-code#83364, of Opus 5).
    """
    is_told_not_to = text_in(adapted.body.get("thinking"), "type") in ("disabled", "between_tools")
    if adapted.capabilities.reasoning.by_default == "no" or not is_told_not_to:
        return
    if text_in(adapted.body.get("output_config"), "effort") in ("xhigh", "max"):
        _put_effort(adapted, "high")
        adapted.adjust("reasoning_effort")


def _fit_choice(adapted: AdaptedBody) -> None:
    """Force no tool where the model takes none, and have it not think where it would unasked and then take none."""
    body, capabilities = adapted.body, adapted.capabilities
    choice: Any = body["tool_choice"]
    if capabilities.tools.choices.issuperset(_FORCED):
        reasons = capabilities.reasoning.by_default == "yes" and "thinking" not in body
        if reasons and not capabilities.reasoning.with_forced_tool:
            body["thinking"] = {"type": "disabled"}
            _calm(adapted)
            adapted.adjust("reasoning_effort")
        return
    if choice["type"] == "tool":
        _offer_only(adapted, text_in(choice, "name"))
    rest = {name: value for name, value in choice.items() if name != "name"}
    body["tool_choice"] = {**rest, "type": "auto"}
    adapted.adjust("tool_choice")


def _offer_only(adapted: AdaptedBody, name: str) -> None:
    """Offer the tool of a name, with the cache point that stood behind all of them, if it is there."""
    tools = listed(adapted.body.get("tools"))
    named = [tool for tool in tools if name and text_in(tool, "name") == name]
    points = [tool["cache_control"] for tool in tools if isinstance(tool, dict) and tool.get("cache_control")]
    if named:
        adapted.body["tools"] = [*named[:-1], {**named[-1], "cache_control": points[-1]}] if points else named


def _leave_out(adapted: AdaptedBody, *names: str) -> None:
    for name in names:
        if adapted.body.pop(name, None) is not None:
            adapted.adjust(name)


def fit_call(block: dict[str, Any], ids: CallIds, adapted: AdaptedBody) -> dict[str, Any]:
    """A block whose id, if it is a call or the result of one, the model takes."""
    match block:
        case {"type": "tool_use", "id": str(given)}:
            name, sent = "id", ids.of_call(given)
        case {"type": "tool_result", "tool_use_id": str(given)}:
            name, sent = "tool_use_id", ids.of_result(given)
        case _:
            return block
    if sent == given:
        return block
    adapted.adjust("tool_ids")
    return {**block, name: sent}


def fit_content(blocks: list[Any], role: str, path: str, adapted: AdaptedBody) -> list[Any]:
    """The blocks of a turn that Claude takes there; of the assistant's turns there may be none."""
    if role == "assistant":
        blocks = _without_images(blocks, path, adapted)
    welcome = [block for block in blocks if _is_no_reasoning_or_welcome(block, role, adapted)]
    if len(welcome) < len(blocks):
        adapted.adjust("reasoning")
    kept = without_blanks(welcome, adapted)
    if role != "assistant":
        return kept or _said(adapted)
    if kept and _is_refused_as_prefill(kept, adapted):
        adapted.adjust("reasoning")
        return []
    return kept


def fit_result(block: dict[str, Any], adapted: AdaptedBody) -> dict[str, Any]:
    """The result of a tool without blank texts; it may be empty, but that of one that failed ("content cannot be empty
    if is_error is true", trae-agent#230), and a text in it may not.
    """
    content = block.get("content")
    kept = without_blanks(content, adapted) if isinstance(content, list) else content
    if not kept and (kept != content or block.get("is_error")):
        kept = _said(adapted)
    return block if kept is content else {**block, "content": kept}


def _said(adapted: AdaptedBody) -> list[Any]:
    adapted.adjust("blank_text")
    return [{"type": "text", "text": PLACEHOLDER}]


def _is_refused_as_prefill(blocks: list[Any], adapted: AdaptedBody) -> bool:
    """True of thoughts alone, which a Claude that goes on from no message takes for one, whatever stands behind them
    (hermes-agent#105780).
    """
    return adapted.capabilities.turns.prefill == "refused" and all(
        text_in(block, "type") in REASONING for block in blocks
    )


def _without_images(blocks: list[Any], path: str, adapted: AdaptedBody) -> list[Any]:
    """What the assistant drew: "'image' blocks are not permitted within assistant turns"."""
    images = [index for index, block in enumerate(blocks) if text_in(block, "type") == "image"]
    adapted.ignored += [f"{path}.content[{index}]" for index in images]
    return [block for block in blocks if text_in(block, "type") != "image"] if images else blocks


def _is_no_reasoning_or_welcome(block: Any, role: str, adapted: AdaptedBody) -> bool:
    """Thoughts are the assistant's ("User messages cannot contain reasoning content"). Those of models that sign none
    have an empty signature here; a model that does not think takes none at all.
    """
    kind = text_in(block, "type")
    if kind not in REASONING:
        return True
    is_whole = kind != "thinking" or bool(block.get("signature"))
    return role == "assistant" and adapted.capabilities.reasoning.request != "none" and is_whole


def without_blanks(blocks: list[Any], adapted: AdaptedBody) -> list[Any]:
    """The blocks without blank texts. Those before a thought stay: turns with thoughts are compared, block by block,
    with what the model said (vercel/ai#14175).
    """
    compared = max((index for index, block in enumerate(blocks) if text_in(block, "type") in REASONING), default=0)
    kept = [
        block
        for index, block in enumerate(blocks)
        if index < compared or text_in(block, "type") != "text" or not is_blank(block.get("text"))
    ]
    if len(kept) == len(blocks):
        return blocks
    adapted.adjust("blank_text")
    return kept


def is_blank(text: Any) -> bool:
    """True of a text that says nothing."""
    return isinstance(text, str) and not text.strip()


def fit_image(block: dict[str, Any], source: dict[str, Any], adapted: AdaptedBody) -> dict[str, Any]:
    """An image under the name of what it is; see `image_format`."""
    named, data = text_in(source, "media_type"), text_in(source, "data")
    found = image_format(named.lower(), data) if data else None
    if found is None or named == f"image/{found}":
        return block
    adapted.adjust("media_type")
    return {**block, "source": {**source, "media_type": f"image/{found}"}}
