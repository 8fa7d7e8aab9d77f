"""Reasoning in a body of Anthropic's Messages: `thinking` and `output_config.effort`.

Clients are older and newer than the model behind a name, and the targets of a route may be of several generations.
Evidence: `thinking.type.enabled` is refused since 4.7 (kilocode#10732); `adaptive` and efforts are refused up to 4.5
(llm-gateway#1928).
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedBody
from app.adaptation.invoke.adapted_body import AdaptedInvokeBody
from app.adaptation.reasoning import BINDING_BETA, BLOCK_BINDING, budget_for, effort_known
from app.converse.call import effort_of
from app.wire.documents import text_in

SAMPLING = ("temperature", "top_p", "top_k")
# Anthropic's default
_EFFORT = "high"


def adapt_reasoning(adapted: AdaptedBody) -> None:
    """Request reasoning as the model accepts it."""
    effort = _adapt_effort(adapted)
    has_changed = _adapt_thinking(adapted, effort)
    limit_effort_without_reasoning(adapted)
    if has_changed:
        adapted.adjust("reasoning_effort")


def _adapt_thinking(adapted: AdaptedBody, effort: str) -> bool:
    """Change or remove `thinking`; returns whether the caller might notice."""
    body, reasoning = adapted.body, adapted.capabilities.reasoning
    thinking: Any = body.get("thinking")
    match text_in(thinking, "type"), reasoning.request:
        case "disabled", "none":
            del body["thinking"]
            return False
        case (("enabled" | "adaptive" | "between_tools"), "none"):
            del body["thinking"]
        case "disabled", _ if reasoning.between_tools:
            body["thinking"] = {"type": "between_tools"}
        case (("disabled" | "between_tools"), _) if reasoning.by_default == "always" and not reasoning.between_tools:
            del body["thinking"]
        case "between_tools", _ if not reasoning.between_tools:
            body["thinking"] = {"type": "disabled"}
        case "enabled", "adaptive" if reasoning.adaptive_only:
            body["thinking"] = {"type": "adaptive", "display": text_in(thinking, "display") or "summarized"}
            budget = thinking.get("budget_tokens")
            if not effort and isinstance(budget, int):
                _put_effort(adapted, effort_of(budget))
        case "adaptive", "budget":
            limit = body.get("max_tokens")
            del body["thinking"]
            if budget := budget_for(effort or _EFFORT, limit if isinstance(limit, int) else None):
                body["thinking"] = {"type": "enabled", "budget_tokens": budget}
                leave_out(adapted, *SAMPLING)
        case _:
            return False
    return True


def drop_foreign(adapted: AdaptedInvokeBody) -> None:
    """Have reasoning of another conversation dropped, unless the caller says what happens to it."""
    thinking = adapted.body.get("thinking")
    given = thinking if isinstance(thinking, dict) else {}
    if "block_binding" not in given:
        adapted.body["thinking"] = {"type": "adaptive", **given, **BLOCK_BINDING}
        adapted.add_beta(BINDING_BETA)
        adapted.adjust("reasoning")


def _adapt_effort(adapted: AdaptedBody) -> str:
    """Lower or remove an effort that the model does not know; returns the caller's."""
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


def limit_effort_without_reasoning(adapted: AdaptedBody) -> None:
    """Lower the effort to `high` where a model that reasons by default is told not to.

    "output_config.effort 'xhigh' is not supported when thinking is disabled on this model" (claude-code#83364, Opus 5).
    """
    is_off = text_in(adapted.body.get("thinking"), "type") in ("disabled", "between_tools")
    if adapted.capabilities.reasoning.by_default == "no" or not is_off:
        return
    if text_in(adapted.body.get("output_config"), "effort") in ("xhigh", "max"):
        _put_effort(adapted, "high")
        adapted.adjust("reasoning_effort")


def leave_out(adapted: AdaptedBody, *names: str) -> None:
    """Remove fields of the body, and name those that it had."""
    for name in names:
        if adapted.body.pop(name, None) is not None:
            adapted.adjust(name)
