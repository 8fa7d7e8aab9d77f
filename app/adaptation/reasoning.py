"""Reasoning: how hard to think, in the model's own words, and thoughts sent back only where they are understood.

Evidence: recordings bedrock_model_thinking_part_anthropic (budget), …_adaptive_effort (adaptive with
`output_config.effort`), bedrock_thinking_true_openai_variant (`reasoning_effort`), bedrock_thinking_high_qwen_variant
(`reasoning_config`). With thinking neither temperature nor a forced tool, and 1024 <= budget < maxTokens. Nova 2 at its
highest wants maxTokens, temperature and topP unset (inspect_ai#3767). A thought without its signature is refused
(strands#2704). A Claude that thinks unasked can be made to call a tool only if it is told not to think
(CLIProxyAPI#4070); `xhigh` begins with Opus 4.7 (arc-kit#577).

Sources:
- docs/reference/contracts/mapping.md#reasoning
- docs/reference/contracts/converse-rules.md#thinking
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.tool_loops import beginning_of_loop
from app.adaptation.tools import unforce
from app.models.capabilities import Capabilities

_MIN_BUDGET = 1024
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
_THREE_STEPS = {"minimal": "low", "xhigh": "high", "max": "high"}
_FOUR_STEPS = {"minimal": "low", "xhigh": "high"}
_FIVE_STEPS = {"minimal": "low"}


def adapt_reasoning(adapted: AdaptedRequest) -> None:
    """Ask the model to think as hard as the caller wishes, or report that it cannot be asked; and what it took."""
    _ask_to_think(adapted)
    fields: Any = adapted.body.get("additionalModelRequestFields", {})
    asked = fields.get("thinking")
    thinks = adapted.capabilities.reasoning.by_default != "no" if asked is None else asked["type"] != "disabled"
    if thinks and adapted.capabilities.reasoning.tokens_pointer:
        adapted.ask_for(adapted.capabilities.reasoning.tokens_pointer)


def _ask_to_think(adapted: AdaptedRequest) -> None:
    effort = adapted.intent.effort
    if effort is None:
        thinks_unasked = (
            adapted.capabilities.reasoning.request == "adaptive" and adapted.capabilities.reasoning.by_default == "yes"
        )
        if thinks_unasked and not adapted.capabilities.reasoning.with_forced_tool and _is_tool_forced(adapted):
            adapted.add_field("thinking", {"type": "disabled"})
            adapted.adjust("reasoning_effort")
        return
    if effort == "none":
        _think_not(adapted)
        return
    match adapted.capabilities.reasoning.request:
        case "none":
            adapted.ignore("reasoning_effort")
        case "budget":
            _think_by_budget(adapted, adapted.intent.thinking_budget or _BUDGETS[effort])
        case "adaptive":
            shown = {"display": "summarized"} if adapted.capabilities.reasoning.display_field else {}
            adapted.add_field("thinking", {"type": "adaptive", **shown})
            adapted.add_field("output_config", {"effort": effort_known(effort, adapted.capabilities)})
            _make_room(adapted)
        case "max_effort":
            limit = _THREE_STEPS.get(effort, effort)
            adapted.add_field("reasoningConfig", {"type": "enabled", "maxReasoningEffort": limit})
            if limit == "high":
                _leave_out(adapted, temperature="temperature", topP="top_p", maxTokens="max_tokens")
        case "nested":
            adapted.add_field("reasoning", {"effort": effort})
        case "effort":
            adapted.add_field("reasoning_effort", _THREE_STEPS.get(effort, effort))
        case _:
            adapted.add_field("reasoning_config", _THREE_STEPS.get(effort, effort))


def _think_not(adapted: AdaptedRequest) -> None:
    match adapted.capabilities.reasoning.by_default:
        case "yes" if adapted.capabilities.reasoning.request == "nested":
            adapted.add_field("reasoning", {"effort": "none"})
        case "yes":
            adapted.add_field("thinking", {"type": "disabled"})
        case "always":
            adapted.ignore("reasoning_effort")


def _think_by_budget(adapted: AdaptedRequest, wished: int) -> None:
    """A budget below maxTokens, of which a quarter stays for the answer."""
    budget = _within(adapted.body.get("inferenceConfig", {}).get("maxTokens"), wished)
    if budget < wished:
        adapted.adjust("reasoning_effort")
    if budget < _MIN_BUDGET or _is_amid_loop_without_reasoning(adapted):
        adapted.adjust("reasoning_effort")
        return
    adapted.add_field("thinking", {"type": "enabled", "budget_tokens": budget})
    _make_room(adapted)


def _within(limit: int | None, wished: int) -> int:
    return wished if limit is None else min(wished, limit * 3 // 4)


def budget_for(effort: str, limit: int | None) -> int:
    """The tokens to think with, for an effort and a limit of the whole answer; 0 if thoughts have no room in that."""
    budget = _within(limit, _BUDGETS.get(effort, _BUDGETS["high"]))
    return budget if budget >= _MIN_BUDGET else 0


def effort_known(effort: str, capabilities: Capabilities) -> str:
    """The effort of Anthropic's that a model knows, no higher than the one that is wanted; nothing if it knows none."""
    if capabilities.reasoning.budget_and_effort:
        return _THREE_STEPS.get(effort, effort)
    if capabilities.reasoning.request != "adaptive":
        return ""
    return (_FIVE_STEPS if capabilities.reasoning.extra_high_effort else _FOUR_STEPS).get(effort, effort)


def _is_amid_loop_without_reasoning(adapted: AdaptedRequest) -> bool:
    """True if the model would go on in a loop of calls that it began without thinking, which it does not.

    A client that keeps no thinking blocks would otherwise fail at the second round of every loop.
    """
    beginning = beginning_of_loop(
        adapted.body["messages"],
        lambda message: message["role"] == "assistant",
        lambda message: any("toolResult" in block for block in message["content"]),
    )
    return beginning is not None and "reasoningContent" not in beginning["content"][0]


def _make_room(adapted: AdaptedRequest) -> None:
    """Thinking goes with no temperature, with no topP below 0.95 (forgecode#3472), and with no forced tool."""
    _leave_out(adapted, temperature="temperature", topP="top_p")
    if "toolConfig" in adapted.body and not adapted.capabilities.reasoning.with_forced_tool:
        unforce(adapted)


def _is_tool_forced(adapted: AdaptedRequest) -> bool:
    config: Any = adapted.body.get("toolConfig", {})
    return "auto" not in config.get("toolChoice", {"auto": {}})


def _leave_out(adapted: AdaptedRequest, **members: str) -> None:
    """Leave members of inferenceConfig out, and name them as callers call them."""
    config: Any = adapted.body.get("inferenceConfig", {})
    for member, name in members.items():
        if member in config:
            adapted.adjust(name)
    adapted.body["inferenceConfig"] = {name: value for name, value in config.items() if name not in members}  # type: ignore[typeddict-item]
