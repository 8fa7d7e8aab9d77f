"""Claude, by generation, newest first."""

from app.models.families.row import row

_COMMON = {"signed_reasoning": True, "single_tool_field": True}

ROWS = (
    row(
        "claude-5",
        r"anthropic\.claude-(opus|sonnet|haiku|fable)-[5-9]",
        "AWS user guide and contracts 6, 2026-11: sampling refused, adaptive thinking, system turns",
        **_COMMON,
        system_turns=True,
        sampling=False,
        reasoning="adaptive",
        structured="native",
    ),
    row(
        "claude-opus-4.8",
        r"anthropic\.claude-opus-4-(8|9)",
        "recording anthropic_mid_conversation_system (Opus 4.8): a system turn is accepted; contracts 6 for the rest",
        **_COMMON,
        system_turns=True,
        sampling=False,
        reasoning="adaptive",
        structured="native",
    ),
    row(
        "claude-opus-4.7",
        r"anthropic\.claude-opus-4-7",
        "openclaw#73663, promptfoo#10307 (2026): temperature is deprecated; contracts 6: thinking `enabled` refused",
        **_COMMON,
        sampling=False,
        reasoning="adaptive",
        structured="native",
    ),
    row(
        "claude-4.6",
        r"anthropic\.claude-(opus|sonnet|haiku)-4-6",
        "recordings bedrock_model_thinking_part_anthropic_adaptive, native_output (Sonnet 4.6, 2026)",
        **_COMMON,
        temperature_with_top_p=False,
        reasoning="adaptive",
        structured="native",
    ),
    row(
        "claude-4.5",
        r"anthropic\.claude-(opus|sonnet|haiku)-4-5",
        "BoltAI#399, contracts 6: temperature or top_p; recordings native_output (Sonnet 4.5)",
        **_COMMON,
        temperature_with_top_p=False,
        reasoning="budget",
        structured="native",
    ),
    row(
        "claude-4.1",
        r"anthropic\.claude-opus-4-1",
        "contracts 6, pain 11: newer Claude refuses temperature beside top_p",
        **_COMMON,
        temperature_with_top_p=False,
        reasoning="budget",
    ),
    row(
        "claude-4",
        r"anthropic\.claude-((opus|sonnet)-4-2|3-7-)",
        "recording bedrock_model_thinking_part_anthropic (Sonnet 4): thinking with budget_tokens",
        **_COMMON,
        reasoning="budget",
    ),
    row("claude-3", r"anthropic\.claude-3", "AWS user guide: no thinking before 3.7", **_COMMON, caching=False),
    row("claude-2", r"anthropic\.claude-(v2|instant)", "AWS user guide: neither", tools=False, caching=False),
)
