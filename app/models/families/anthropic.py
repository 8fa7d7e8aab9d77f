"""Claude, by generation, newest first."""

from typing import Any

from app.models.capability_groups import NativeSurfaces
from app.models.families.row import row

# every Claude since 3 takes Anthropic's own bodies over InvokeModel, and top_k (AWS user guide, Anthropic models)
_COMMON: dict[str, Any] = {
    "single_tool_field": True,
    # bifrost#5097; litellm#24210 on Bedrock
    "plain_ids": True,
    # pydantic-ai#5579 on Bedrock
    "bounded_grammar": True,
    # "input_schema does not support oneOf, allOf, or anyOf at the top level" (cua#3303, kilocode#12246)
    "top_level_unions": False,
    # pydantic-ai#6098, live: a document beside a result hides the result; PDF alone passed, which nobody promises
    "apart_from_results": frozenset({"document", "video"}),
    "native": NativeSurfaces(anthropic="invoke"),
    "top_k": "field",
    # TokenUsage does not count reasoning, Claude's own usage does: docs/reference/contracts/mapping.md#usage
    "thinking_tokens": "/usage/output_tokens_details",
}
# "User messages cannot contain reasoning content" (vercel/ai#7034, #17591 of Claude 3 Haiku)
_WITHOUT_REASONING: dict[str, Any] = {"reasoning_history": "none"}
# no schemas of their own, unlike 4.5 and 4.6: "output_config.format: Extra inputs are not permitted" for 4.7, 4.8 and
# Sonnet 5 (vercel/ai#14773, anthropic-sdk-python#1759; 2026-07)
_CLAUDE_5: dict[str, Any] = {
    **_COMMON,
    # on Bedrock only from 4.7 on: docs/reference/contracts/anthropic-messages.md#versions
    "newest_version": True,
    "system_turns": True,
    "sampling": False,
    "prefill": "refused",
    "cache_ttl": True,
    "reasoning": "adaptive",
    # kilocode#10732
    "adaptive_only": True,
    "extra_high_effort": True,
    "thinking_display": True,
}

_CLAUDE_45: dict[str, Any] = {
    **_COMMON,
    "strict_tools": True,
    "temperature_with_top_p": False,
    "prefill": "trimmed",
    "cache_ttl": True,
    "reasoning": "budget",
    "structured": "native",
}

ROWS = (
    row(
        "claude-5.5",
        r"anthropic\.claude-([a-z]+-5-5|(fable|mythos)-5-1)",
        "docs/reference/contracts/converse-rules.md#tools: the 5.5 line always thinks, so no tool can be forced; "
        "lobehub#19876: nor can it on Fable 5.1; the rest as Claude 5",
        **_CLAUDE_5,
        structured="prompt",
        tool_choices=frozenset(),
        thinks_unasked="always",
    ),
    row(
        "claude-fable-5",
        r"anthropic\.claude-(fable|mythos)-5",
        "Anthropic's tables of 2026-10: it always thinks; celeste#393: a tool can be forced all the same",
        **_CLAUDE_5,
        forced_with_reasoning=True,
        thinks_unasked="always",
    ),
    row(
        "claude-5",
        r"anthropic\.claude-(opus|sonnet|haiku|fable|mythos)-[5-9]",
        "docs/reference/contracts/converse-rules.md#thinking and #sampling: no sampling, adaptive "
        "thinking; AWS user guide: system turns; promptfoo#10631 and lobehub#17620: it thinks unless told not to, and "
        "hides its thoughts unless asked; langchain-aws#1141: a tool can be forced all the same",
        **_CLAUDE_5,
        forced_with_reasoning=True,
        thinks_unasked="yes",
    ),
    row(
        "claude-opus-4.8",
        r"anthropic\.claude-opus-4-(8|9)",
        "recording anthropic_mid_conversation_system (Opus 4.8): a system turn is accepted; langchain-aws#1141: a "
        "tool can be forced while it thinks; the rest: docs/reference/contracts/converse-rules.md#thinking",
        **_CLAUDE_5,
        forced_with_reasoning=True,
    ),
    row(
        "claude-opus-4.7",
        r"anthropic\.claude-opus-4-7",
        "openclaw#73663, promptfoo#10307 (2026): no temperature; docs/reference/contracts/converse-rules.md#thinking: "
        "no `enabled` thinking; docs/reference/contracts/converse-rules.md#turns: no prefill",
        **{name: value for name, value in _CLAUDE_5.items() if name != "system_turns"},
    ),
    row(
        "claude-4.6",
        r"anthropic\.claude-(opus|sonnet|haiku)-4-6",
        "recordings bedrock_model_thinking_part_anthropic_adaptive, native_output (Sonnet 4.6, 2026); vercel/ai#18199: "
        "strict tools (Opus 4.6)",
        **_COMMON,
        strict_tools=True,
        temperature_with_top_p=False,
        prefill="refused",
        cache_ttl=True,
        reasoning="adaptive",
        structured="native",
    ),
    row(
        "claude-opus-4.5",
        r"anthropic\.claude-opus-4-5",
        "as the rest of 4.5; coder#25356: an effort up to `high`, with its beta",
        **_CLAUDE_45,
        budget_and_effort=True,
    ),
    row(
        "claude-4.5",
        r"anthropic\.claude-(opus|sonnet|haiku)-4-5",
        "BoltAI#399, docs/reference/contracts/converse-rules.md#sampling: temperature or top_p; recordings "
        "native_output and strict_tool_calls (Sonnet 4.5)",
        **_CLAUDE_45,
    ),
    row(
        "claude-4.1",
        r"anthropic\.claude-opus-4-1",
        "docs/reference/contracts/converse-rules.md#sampling, mem0#4147: newer Claude refuses temperature beside top_p",
        **_COMMON,
        temperature_with_top_p=False,
        prefill="trimmed",
        reasoning="budget",
    ),
    row(
        "claude-4",
        r"anthropic\.claude-((opus|sonnet)-4-2|3-7-)",
        "recording bedrock_model_thinking_part_anthropic (Sonnet 4): thinking with budget_tokens",
        **_COMMON,
        prefill="trimmed",
        reasoning="budget",
    ),
    row(
        "claude-3.5-haiku",
        r"anthropic\.claude-3-5-haiku",
        "AWS user guide, prompt caching: 3.5 Haiku caches; no thinking before 3.7",
        **_COMMON,
        **_WITHOUT_REASONING,
        prefill="trimmed",
    ),
    row(
        "claude-3",
        r"anthropic\.claude-3",
        "AWS user guide: no thinking before 3.7",
        **_COMMON,
        **_WITHOUT_REASONING,
        prefill="trimmed",
        caching=False,
    ),
    row("claude-2", r"anthropic\.claude-(v2|instant)", "AWS user guide: neither", tools=False, caching=False),
)
