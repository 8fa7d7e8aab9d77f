"""What one Claude takes of Anthropic's format and another refuses: the words of a body that depend on its generation.

Clients are older and newer than the model behind a name, and routes lead from one generation to another. Evidence:
"thinking.type.enabled" is refused since 4.7 (kilocode#10732), `adaptive` up to 4.5 (llm-gateway#1928), efforts too;
sampling since 4.7 (promptfoo#10307), `temperature` beside `top_p` before (bedrock-access-gateway#191); a forced tool by
all that think (CLIProxyAPI#4070, experiential#804); ids of calls match `^[a-zA-Z0-9_-]+$`, each once (bifrost#5097,
claude-code#20901); models that do not think take no thoughts back (vercel/ai#7034).
"""

from typing import Any

from app.converse.call import effort_of
from app.converse.media import image_format
from app.kit.members import listed, text_in
from app.tailor.call_ids import CallIds
from app.tailor.draft import PLACEHOLDER, NativeDraft
from app.tailor.reasoning import budget_for, effort_known

_SAMPLING = ("temperature", "top_p", "top_k")
_FORCED = ("any", "tool")
_MEDIA = ("image", "document")
THOUGHTS = ("thinking", "redacted_thinking")
# Anthropic's own, where nobody names one
_EFFORT = "high"


def fit_to_claude(draft: NativeDraft) -> None:
    """Make a body's length, thinking, sampling and choice of tools what this Claude takes."""
    body, traits = draft.body, draft.traits
    most = body.get("max_tokens")
    if isinstance(most, int) and most > traits.most_output:
        body["max_tokens"] = traits.most_output
        draft.repair("max_tokens")
    if "thinking" in body or "output_config" in body:
        _fit_thinking(draft)
    _fit_choice(draft)
    if not traits.sampling:
        _leave_out(draft, *_SAMPLING)
    elif not traits.temperature_with_top_p and "temperature" in body:
        _leave_out(draft, "top_p")


def _fit_thinking(draft: NativeDraft) -> None:
    body, traits = draft.body, draft.traits
    effort = _fit_effort(draft)
    thinking: Any = body.get("thinking")
    match text_in(thinking, "type"), traits.reasoning:
        case "disabled", "none":
            del body["thinking"]
            return
        case (("enabled" | "adaptive" | "between_tools"), "none"):
            del body["thinking"]
        case "disabled", _ if traits.thinks_unasked == "always":
            del body["thinking"]
        case "between_tools", _ if traits.thinks_unasked != "always":
            body["thinking"] = {"type": "disabled"}
        case "enabled", "adaptive" if traits.adaptive_only:
            body["thinking"] = {"type": "adaptive", "display": text_in(thinking, "display") or "summarized"}
            budget = thinking.get("budget_tokens")
            if not effort and isinstance(budget, int):
                config = body.get("output_config")
                body["output_config"] = {**(config if isinstance(config, dict) else {}), "effort": effort_of(budget)}
        case "adaptive", "budget":
            most = body.get("max_tokens")
            del body["thinking"]
            if budget := budget_for(effort or _EFFORT, most if isinstance(most, int) else None):
                body["thinking"] = {"type": "enabled", "budget_tokens": budget}
                _leave_out(draft, *_SAMPLING)
        case _:
            return
    draft.repair("reasoning_effort")


def _fit_effort(draft: NativeDraft) -> str:
    """The effort that the caller wants, which is left out or lowered where the model does not know it."""
    config: Any = draft.body.get("output_config")
    effort = text_in(config, "effort")
    if not effort:
        return ""
    known = effort_known(effort, draft.traits)
    if known != effort:
        rest = {name: value for name, value in config.items() if name != "effort"}
        draft.body["output_config"] = {**rest, "effort": known} if known else rest
        if not draft.body["output_config"]:
            del draft.body["output_config"]
        draft.repair("reasoning_effort")
    return effort


def _fit_choice(draft: NativeDraft) -> None:
    """Force no tool where the model takes none, and have it not think where it would unasked and then take none."""
    body, traits = draft.body, draft.traits
    choice: Any = body.get("tool_choice")
    if text_in(choice, "type") not in _FORCED:
        return
    if traits.tool_choices.issuperset(_FORCED):
        if traits.thinks_unasked == "yes" and "thinking" not in body:
            body["thinking"] = {"type": "disabled"}
            draft.repair("reasoning_effort")
        return
    named = [tool for tool in listed(body.get("tools")) if text_in(tool, "name") == text_in(choice, "name")]
    if choice["type"] == "tool" and named:
        body["tools"] = named
    rest = {name: value for name, value in choice.items() if name != "name"}
    body["tool_choice"] = {**rest, "type": "auto"}
    draft.repair("tool_choice")


def _leave_out(draft: NativeDraft, *names: str) -> None:
    for name in names:
        if draft.body.pop(name, None) is not None:
            draft.repair(name)


def fit_call(block: dict[str, Any], ids: CallIds, draft: NativeDraft) -> dict[str, Any]:
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
    draft.repair("tool_ids")
    return {**block, name: sent}


def fit_content(blocks: list[Any], role: str, path: str, draft: NativeDraft) -> list[Any]:
    """The blocks of a turn, or of a result, that Claude takes there; of the assistant's turns there may be none."""
    if role == "assistant":
        blocks = _without_media(blocks, path, draft)
    welcome = [block for block in blocks if _is_no_thought_or_welcome(block, draft)]
    if len(welcome) < len(blocks):
        draft.repair("reasoning")
    kept = without_blanks(welcome, draft)
    if kept and role == "assistant" and _is_refused_as_prefill(kept, draft):
        draft.repair("reasoning")
        return []
    return kept if kept or role == "assistant" else [{"type": "text", "text": PLACEHOLDER}]


def _is_refused_as_prefill(blocks: list[Any], draft: NativeDraft) -> bool:
    """True of thoughts alone, which a Claude that goes on from no message takes for one, whatever stands behind them
    (hermes-agent#105780).
    """
    return draft.traits.prefill == "refused" and all(text_in(block, "type") in THOUGHTS for block in blocks)


def _without_media(blocks: list[Any], path: str, draft: NativeDraft) -> list[Any]:
    media = [place for place, block in enumerate(blocks) if text_in(block, "type") in _MEDIA]
    draft.ignored += [f"{path}.content[{place}]" for place in media]
    return [block for block in blocks if text_in(block, "type") not in _MEDIA] if media else blocks


def _is_no_thought_or_welcome(block: Any, draft: NativeDraft) -> bool:
    """Thoughts of models that sign none have an empty signature here; a model that does not think takes none at all."""
    kind = text_in(block, "type")
    if kind not in THOUGHTS:
        return True
    return draft.traits.reasoning != "none" and (kind != "thinking" or bool(block.get("signature")))


def without_blanks(blocks: list[Any], draft: NativeDraft) -> list[Any]:
    """The blocks without blank texts. Those before a thought stay: turns with thoughts are compared, block by block,
    with what the model said (vercel/ai#14175).
    """
    compared = max((place for place, block in enumerate(blocks) if text_in(block, "type") in THOUGHTS), default=0)
    kept = [
        block
        for place, block in enumerate(blocks)
        if place < compared or text_in(block, "type") != "text" or not is_blank(block.get("text"))
    ]
    if len(kept) < len(blocks):
        draft.repair("blank_text")
    return kept


def is_blank(text: Any) -> bool:
    """True of a text that says nothing."""
    return isinstance(text, str) and not text.strip()


def fit_image(block: dict[str, Any], source: dict[str, Any], draft: NativeDraft) -> dict[str, Any]:
    """An image under the name of what it is; see `image_format`."""
    named, data = text_in(source, "media_type"), text_in(source, "data")
    found = image_format(named.lower(), data) if data else None
    if found is None or named == f"image/{found}":
        return block
    draft.repair("media_type")
    return {**block, "source": {**source, "media_type": f"image/{found}"}}
