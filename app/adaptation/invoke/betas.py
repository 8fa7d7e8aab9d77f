"""Anthropic's beta features, as Bedrock knows them: data, by name or by the beginning of a name.

Sources: AWS user guide, Anthropic Claude Messages API; litellm's and Claude Code's lists, 2026-11.
A name in neither table is dropped, because Bedrock refuses a call with an unknown name (claude-code#49370).

Source: docs/reference/contracts/anthropic-on-invokemodel.md#betas
"""

PASSED = (
    "compact-2026-01-12",
    "compact-2026-09-04",
    "computer-use-",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "effort-2025-11-24",
    "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14",
    "mid-conversation-output-config-2026-07-01",
    "mid-conversation-tool-changes-2026-07-01",
    "thinking-binding-controls-2026-08-01",
    "thinking-display-updates-2026-08-18",
    "thinking-token-count-2026-05-13",
    "tool-examples-2025-10-29",
    "tool-search-tool-2025-10-19",
)
# those that only models from 4.7 on accept: "invalid beta flag" on 4.5 and Opus 4.6 (litellm 1.110.2); AWS user guide,
# fallback credit
PASSED_TO_NEWER = ("dangerous-tool-use-2026-09-03", "fallback-credit-2026-06-01")
RENAMED = {
    "advanced-tool-use-2025-11-20": ("tool-search-tool-2025-10-19", "tool-examples-2025-10-29"),
    # both allow `output_config` in a message (litellm 1.110.2, anthropic_beta_gated_fields)
    "per-turn-control-2026-07-01": ("mid-conversation-output-config-2026-07-01",),
}

CONTEXT_MANAGEMENT = "context-management-2025-06-27"
EFFORT = "effort-2025-11-24"
FINE_GRAINED_TOOLS = "fine-grained-tool-streaming-2025-05-14"
PER_MESSAGE_OUTPUT = "mid-conversation-output-config-2026-07-01"
# the beta that a field of the body needs, and the beginning of a tool's type
OF_FIELDS = {
    "compaction": "compact-2026-09-04",
    "fallback_credit_token": "fallback-credit-2026-06-01",  # nosec B105
    "safeguards": "dangerous-tool-use-2026-09-03",
}
OF_TOOLS = {
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "memory_": CONTEXT_MANAGEMENT,
    "tool_search_tool_": "tool-search-tool-2025-10-19",
}
EDITS = {
    "clear_thinking_20251015": CONTEXT_MANAGEMENT,
    "clear_tool_uses_20250919": CONTEXT_MANAGEMENT,
    "compact_20260112": "compact-2026-01-12",
}
# litellm#25835: a 400 unless `thinking` is enabled or adaptive
EDITS_OF_THINKING = frozenset({"clear_thinking_20251015"})


def filter_betas(
    requested: list[str], also_passed: frozenset[str] = frozenset(), *, is_newer: bool = True
) -> tuple[list[str], list[str]]:
    """Return the features that are sent to Bedrock, and those that are dropped, in order and without repetition.

    Args:
        also_passed: names that this deployment passes beside the table's. is_newer: the model is Claude 4.7 or later.
    """
    passed = (*PASSED, *PASSED_TO_NEWER) if is_newer else PASSED
    kept: dict[str, None] = {}
    dropped: dict[str, None] = {}
    for beta in requested:
        if beta in RENAMED:
            kept.update(dict.fromkeys(RENAMED[beta]))
        elif beta in also_passed or any(_fits(beta, known) for known in passed):
            kept[beta] = None
        else:
            dropped[beta] = None
    return list(kept), list(dropped)


def _fits(beta: str, known: str) -> bool:
    return beta.startswith(known) if known.endswith("-") else beta == known
