"""Requests reasoning as the model accepts it.

Evidence: recordings bedrock_model_thinking_part_anthropic (budget), …_adaptive_effort (adaptive with
`output_config.effort`), bedrock_thinking_true_openai_variant (`reasoning_effort`), bedrock_thinking_high_qwen_variant
(`reasoning_config`).

- With thinking, neither temperature nor a forced tool is accepted, and 1024 <= budget < maxTokens.
- Nova 2 at its highest effort accepts no maxTokens, temperature or topP (inspect_ai#3767).
- A Claude that reasons by default accepts a forced tool only if it is told not to reason (CLIProxyAPI#4070).
- The effort `xhigh` exists since Opus 4.7 (arc-kit#577).

Sources:
- docs/reference/contracts/mapping.md#reasoning
- docs/reference/contracts/converse-rules.md#thinking
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.efforts import nearest_effort
from app.adaptation.tool_loops import beginning_of_loop
from app.adaptation.tools import unforce
from app.converse.call import Effort
from app.models.capabilities import Capabilities
from app.wire.documents import listed

# AWS user guide, preserved thinking: with the beta, blocks of another conversation are dropped and the call succeeds
BLOCK_BINDING = {"block_binding": {"prefix_mismatch_behavior": "drop_block"}}
BINDING_BETA = "thinking-binding-controls-2026-08-01"
_MIN_BUDGET = 1024
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
_THREE_STEPS = {"minimal": "low", "xhigh": "high", "max": "high"}
_FOUR_STEPS = {"minimal": "low", "xhigh": "high"}
_FIVE_STEPS = {"minimal": "low"}


def adapt_reasoning(adapted: AdaptedRequest) -> None:
    """Request the effort that the caller wants, and the number of reasoning tokens where the model reports it.

    An effort that the model has no parameter for is named as ignored.
    """
    effort, reasoning = adapted.intent.effort, adapted.capabilities.reasoning
    match effort:
        case None:
            _allow_forced_tool(adapted)
        case "none":
            _turn_off(adapted)
        case _:
            _request_effort(adapted, effort)
    if reasoning.drop_foreign:
        _drop_foreign(adapted)
    fields: Any = adapted.body.get("additionalModelRequestFields", {})
    thinking = fields.get("thinking")
    is_on = reasoning.by_default != "no" if thinking is None else thinking["type"] != "disabled"
    if is_on and reasoning.tokens_pointer:
        adapted.request_response_field(reasoning.tokens_pointer)


def _allow_forced_tool(adapted: AdaptedRequest) -> None:
    """Turn reasoning off where a tool is forced, and the model reasons by default and accepts no forced tool then."""
    reasoning = adapted.capabilities.reasoning
    if reasoning.request != "adaptive" or reasoning.by_default != "yes" or reasoning.with_forced_tool:
        return
    config: Any = adapted.body.get("toolConfig", {})
    if "auto" not in config.get("toolChoice", {"auto": {}}):
        adapted.add_field("thinking", {"type": "disabled"})
        adapted.adjust("reasoning_effort")


def _turn_off(adapted: AdaptedRequest) -> None:
    reasoning = adapted.capabilities.reasoning
    match reasoning.by_default:
        case "yes" | "always" if reasoning.efforts:
            _request_effort(adapted, "none")
        case "yes" if reasoning.request == "nested":
            adapted.add_field("reasoning", {"effort": "none"})
        case "yes":
            adapted.add_field("thinking", {"type": "disabled"})
        case "always" if adapted.capabilities.reasoning.between_tools:
            adapted.add_field("thinking", {"type": "between_tools"})
            adapted.adjust("reasoning_effort")
        case "always":
            adapted.ignore("reasoning_effort")


def _drop_foreign(adapted: AdaptedRequest) -> None:
    fields: Any = adapted.body.get("additionalModelRequestFields", {})
    betas = listed(fields.get("anthropic_beta"))
    adapted.add_field("thinking", {"type": "adaptive", **fields.get("thinking", {}), **BLOCK_BINDING})
    adapted.add_field("anthropic_beta", [*betas, *[BINDING_BETA] * (BINDING_BETA not in betas)])
    adapted.adjust("reasoning")


def _request_effort(adapted: AdaptedRequest, effort: Effort) -> None:
    accepted = adapted.capabilities.reasoning.efforts
    three_steps = nearest_effort(effort, accepted) if accepted else _THREE_STEPS.get(effort, effort)
    if accepted and three_steps != effort:
        adapted.adjust("reasoning_effort")
    match adapted.capabilities.reasoning.request:
        case "none":
            adapted.ignore("reasoning_effort")
        case "budget":
            _request_budget(adapted, adapted.intent.thinking_budget or _BUDGETS[effort])
        case "adaptive":
            shown = {"display": "summarized"} if adapted.capabilities.reasoning.display_field else {}
            adapted.add_field("thinking", {"type": "adaptive", **shown})
            adapted.add_field("output_config", {"effort": effort_known(effort, adapted.capabilities)})
            _remove_conflicts(adapted)
        case "max_effort":
            adapted.add_field("reasoningConfig", {"type": "enabled", "maxReasoningEffort": three_steps})
            if three_steps == "high":
                _leave_out(adapted, temperature="temperature", topP="top_p", maxTokens="max_tokens")
        case "nested":
            adapted.add_field("reasoning", {"effort": three_steps if accepted else effort})
        case "effort":
            adapted.add_field("reasoning_effort", three_steps)
        case _:  # config
            adapted.add_field("reasoning_config", three_steps)


def _request_budget(adapted: AdaptedRequest, wanted: int) -> None:
    """Request a budget below maxTokens, of which a quarter is left for the answer."""
    limit = adapted.body.get("inferenceConfig", {}).get("maxTokens", adapted.capabilities.max_output)
    budget = _within(limit, wanted)
    if budget < wanted:
        adapted.adjust("reasoning_effort")
    if budget < _MIN_BUDGET or _is_in_loop_without_reasoning(adapted):
        adapted.adjust("reasoning_effort")
        return
    adapted.add_field("thinking", {"type": "enabled", "budget_tokens": budget})
    _remove_conflicts(adapted)


def _within(limit: int | None, wanted: int) -> int:
    return wanted if limit is None else min(wanted, limit * 3 // 4)


def budget_for(effort: str, limit: int | None) -> int:
    """Return the reasoning tokens for an effort, within a limit of the whole answer; 0 if the limit is too low."""
    budget = _within(limit, _BUDGETS.get(effort, _BUDGETS["high"]))
    return budget if budget >= _MIN_BUDGET else 0


def effort_known(effort: str, capabilities: Capabilities) -> str:
    """Return the highest of Anthropic's efforts that a model knows, up to `effort`; empty if it knows none."""
    if capabilities.reasoning.budget_and_effort:
        return _THREE_STEPS.get(effort, effort)
    if capabilities.reasoning.request != "adaptive":
        return ""
    return (_FIVE_STEPS if capabilities.reasoning.extra_high_effort else _FOUR_STEPS).get(effort, effort)


def _is_in_loop_without_reasoning(adapted: AdaptedRequest) -> bool:
    """Tell whether the call continues a tool loop that began without reasoning; the model then accepts no budget.

    Otherwise a client that keeps no reasoning would fail at the second round of every loop.
    """
    beginning = beginning_of_loop(
        adapted.body["messages"],
        lambda message: message["role"] == "assistant",
        lambda message: any("toolResult" in block for block in message["content"]),
    )
    return beginning is not None and "reasoningContent" not in beginning["content"][0]


def _remove_conflicts(adapted: AdaptedRequest) -> None:
    """Remove what is refused with reasoning: temperature, a topP below 0.95 (forgecode#3472), and a forced tool."""
    _leave_out(adapted, temperature="temperature", topP="top_p")
    if "toolConfig" in adapted.body and not adapted.capabilities.reasoning.with_forced_tool:
        unforce(adapted)


def _leave_out(adapted: AdaptedRequest, **members: str) -> None:
    """Remove members of inferenceConfig, and name them as the caller does."""
    config: Any = adapted.body.get("inferenceConfig", {})
    for member, name in members.items():
        if member in config:
            adapted.adjust(name)
    adapted.body["inferenceConfig"] = {name: value for name, value in config.items() if name not in members}  # type: ignore[typeddict-item]
