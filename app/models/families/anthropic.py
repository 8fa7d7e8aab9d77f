"""Claude, by generation, newest first."""

from app.converse.call import Surface
from app.models.capability_values import CapabilityValues, merged
from app.models.families.row import row

# every Claude since 3 accepts Anthropic's own bodies over InvokeModel, and top_k (AWS user guide, Anthropic models)
_COMMON: CapabilityValues = {
    # without maxTokens Converse gives 4096, reasoning included: answers and tool calls are cut off (litellm#41529,
    # strix#1061), and a budget is refused (vercel/ai#7927). A quota reserves all of it: docs/configuration.md
    "output": {"default_length": 16_384},
    "tools": {
        "fixed_list": True,
        # pydantic-ai 2.68, live on Converse, 2026-10
        "none_field": True,
        "single_call_field": True,
        # bifrost#5097; litellm#24210 on Bedrock
        "plain_ids": True,
    },
    "schemas": {
        # pydantic-ai#5579 on Bedrock
        "bounded_grammar": True,
        # "input_schema does not support oneOf, allOf, or anyOf at the top level" (cua#3303, kilocode#12246)
        "top_level_unions": False,
    },
    # pydantic-ai#6098, live: a document beside a result hides the result. A PDF passed, but no document says so.
    # AWS user guide, cards of Claude (2026-11): input of text and images
    "turns": {"apart_from_results": frozenset({"document"}), "videos": False},
    "sampling": {"top_k": "field"},
    # "messages.0.content.2.type: Field required" (harness-sdk#1966); PDF is accepted (harness-sdk#3677)
    "caching": {"after_text_documents": False},
    # TokenUsage does not count reasoning, Claude's own usage does: docs/reference/contracts/mapping.md#usage
    "reasoning": {"tokens_pointer": "/usage/output_tokens_details"},
    "native": {"anthropic": Surface.INVOKE},
}
# "User messages cannot contain reasoning content" (vercel/ai#7034, #17591 of Claude 3 Haiku)
_WITHOUT_REASONING: CapabilityValues = {"reasoning": {"history": "none"}}
# no schemas of their own, unlike 4.5 and 4.6: "output_config.format: Extra inputs are not permitted" for 4.7, 4.8 and
# Sonnet 5 (vercel/ai#14773, anthropic-sdk-python#1759; 2026-07)
_CLAUDE_4_7: CapabilityValues = merged(
    _COMMON,
    {
        "max_output": 128_000,
        "turns": {"prefill": "refused"},
        "sampling": {"accepted": False},
        "caching": {"ttl": True},
        "reasoning": {
            "request": "adaptive",
            # kilocode#10732
            "adaptive_only": True,
            "extra_high_effort": True,
            "display_field": True,
        },
        # on Bedrock only from 4.7 on: docs/reference/contracts/anthropic-messages.md#versions
        # and CountTokens only before it: AWS user guide, cards of Opus 4.7 and later (2026-11)
        "native": {"newest_anthropic_version": True, "counts_on_mantle": True},
    },
)
_CLAUDE_5: CapabilityValues = merged(_CLAUDE_4_7, {"turns": {"system": True}})
_CLAUDE_4_5_ON_MANTLE: CapabilityValues = merged(
    _COMMON,
    {
        "max_output": 64_000,
        "schemas": {"strict_tools": True},
        "turns": {"prefill": "trimmed"},
        "sampling": {"temperature_with_top_p": False},
        "caching": {"ttl": True},
        "reasoning": {"request": "budget"},
    },
)
_CLAUDE_4_5: CapabilityValues = merged(_CLAUDE_4_5_ON_MANTLE, {"schemas": {"structured_output": "native"}})
_CLAUDE_4: CapabilityValues = merged(_COMMON, {"turns": {"prefill": "trimmed"}, "reasoning": {"request": "budget"}})
# from Claude 4.6 on it needs none (Anthropic, 2026-03-13)
_LONG_CONTEXT: CapabilityValues = {"context": {"beta": "context-1m-2025-08-07"}}

_NOT_FORCED: CapabilityValues = {
    "schemas": {"structured_output": "prompt"},
    "tools": {"choices": frozenset()},
    "reasoning": {"by_default": "always"},
}

ROWS = (
    row(
        "claude-haiku-5.5",
        r"anthropic\.claude-haiku-5-5",
        "Anthropic, Haiku 5.5 (2026-11), litellm 1.110.2: it thinks unless told not to, and accepts a forced tool",
        _CLAUDE_5,
        {"reasoning": {"with_forced_tool": True, "by_default": "yes"}},
    ),
    row(
        "claude-sonnet-5.5",
        r"anthropic\.claude-sonnet-5-5",
        "Anthropic, what's new in Sonnet 5.5 (2026-11): `between_tools` instead of `disabled`, no forced tool; "
        "@ai-sdk/amazon-bedrock 4.0.186",
        _CLAUDE_5,
        _NOT_FORCED,
        {"reasoning": {"between_tools": True}},
    ),
    row(
        "claude-5.5",
        r"anthropic\.claude-([a-z]+-5-5|(fable|mythos)-5-[1-4])",
        "docs/reference/contracts/converse-rules.md#tools: Opus 5.5 always thinks, so no tool can be forced; "
        "lobehub#19876: nor can it on Fable 5.1; Anthropic, preserved thinking (2026-11): Fable 5.2; else as Claude 5",
        _CLAUDE_5,
        _NOT_FORCED,
    ),
    row(
        "claude-mythos-on-mantle",
        r"anthropic\.claude-mythos-(5(?!-)|preview)",
        "AWS user guide, models by endpoint (2026-11): on mantle only, Messages, without schemas of answers",
        _CLAUDE_5,
        {
            "reasoning": {"with_forced_tool": True, "by_default": "always"},
            "native": {"anthropic": Surface.MANTLE, "translated_to": "anthropic"},
        },
    ),
    row(
        "claude-fable-5",
        r"anthropic\.claude-(fable|mythos)-5",
        "Anthropic's tables of 2026-10: it always thinks; celeste#393: a tool can be forced all the same",
        _CLAUDE_5,
        {"reasoning": {"with_forced_tool": True, "by_default": "always"}},
    ),
    row(
        "claude-5",
        r"anthropic\.claude-(opus|sonnet|haiku|fable|mythos)-[5-9]",
        "docs/reference/contracts/converse-rules.md#thinking and #sampling: no sampling, adaptive "
        "thinking; AWS user guide: system turns; promptfoo#10631 and lobehub#17620: it thinks unless told not to, and "
        "hides its reasoning unless requested; langchain-aws#1141: a tool can be forced all the same",
        _CLAUDE_5,
        {"reasoning": {"with_forced_tool": True, "by_default": "yes"}},
    ),
    row(
        "claude-opus-4.8",
        r"anthropic\.claude-opus-4-(8|9)",
        "recording anthropic_mid_conversation_system (Opus 4.8): a system turn is accepted; langchain-aws#1141: a "
        "tool can be forced while it thinks; the rest: docs/reference/contracts/converse-rules.md#thinking",
        _CLAUDE_5,
        {"reasoning": {"with_forced_tool": True}},
    ),
    row(
        "claude-opus-4.7",
        r"anthropic\.claude-opus-4-7",
        "openclaw#73663, promptfoo#10307 (2026): no temperature; docs/reference/contracts/converse-rules.md#thinking: "
        "no `enabled` thinking; docs/reference/contracts/converse-rules.md#turns: no prefill",
        _CLAUDE_4_7,
    ),
    row(
        "claude-4.6",
        r"anthropic\.claude-(opus|sonnet|haiku)-4-6",
        "recordings bedrock_model_thinking_part_anthropic_adaptive, native_output (Sonnet 4.6, 2026); vercel/ai#18199: "
        "strict tools (Opus 4.6)",
        _COMMON,
        {
            "max_output": 128_000,
            "schemas": {"strict_tools": True, "structured_output": "native"},
            "sampling": {"temperature_with_top_p": False},
            "turns": {"prefill": "refused"},
            "caching": {"ttl": True},
            "reasoning": {"request": "adaptive"},
        },
    ),
    row(
        "claude-haiku-4.5-on-mantle",
        r"anthropic\.claude-haiku-4-5\Z",
        "as the rest of 4.5; litellm 1.110.2: its id on mantle has no version, and Converse does not know it; AWS user "
        "guide, models by endpoint (2026-11): Messages on mantle, without schemas of answers",
        _CLAUDE_4_5_ON_MANTLE,
        {"native": {"anthropic": Surface.MANTLE, "translated_to": "anthropic", "counts_on_mantle": True}},
    ),
    row(
        "claude-opus-4.5",
        r"anthropic\.claude-opus-4-5",
        "as the rest of 4.5; coder#25356: an effort up to `high`, with its beta",
        _CLAUDE_4_5,
        {"reasoning": {"budget_and_effort": True}},
    ),
    row(
        "claude-sonnet-4.5",
        r"anthropic\.claude-sonnet-4-5",
        "as the rest of 4.5; Claude Code's list of models (2.1.332): a million tokens by beta",
        _CLAUDE_4_5,
        _LONG_CONTEXT,
    ),
    row(
        "claude-4.5",
        r"anthropic\.claude-(opus|sonnet|haiku)-4-5",
        "BoltAI#399, docs/reference/contracts/converse-rules.md#sampling: temperature or top_p; recordings "
        "native_output and strict_tool_calls (Sonnet 4.5)",
        _CLAUDE_4_5,
    ),
    row(
        "claude-4.1",
        r"anthropic\.claude-opus-4-1",
        "docs/reference/contracts/converse-rules.md#sampling, mem0#4147: newer Claude refuses temperature beside top_p",
        _COMMON,
        {
            "max_output": 32_000,
            "sampling": {"temperature_with_top_p": False},
            "turns": {"prefill": "trimmed"},
            "reasoning": {"request": "budget"},
        },
    ),
    row(
        "claude-sonnet-4",
        r"anthropic\.claude-sonnet-4-2",
        "as Claude 4; AWS user guide, Claude Sonnet 4: a million tokens by beta; AWS model card: 64,000 tokens",
        _CLAUDE_4,
        _LONG_CONTEXT,
        {"max_output": 64_000},
    ),
    row(
        "claude-opus-4",
        r"anthropic\.claude-opus-4-2",
        "as Sonnet 4; litellm 1.110.2: 32,000 tokens",
        _CLAUDE_4,
        {"max_output": 32_000},
    ),
    row(
        "claude-4",
        r"anthropic\.claude-3-7-",
        "recording bedrock_model_thinking_part_anthropic (Sonnet 4): thinking with budget_tokens",
        _CLAUDE_4,
    ),
    row(
        "claude-3.5-haiku",
        r"anthropic\.claude-3-5-haiku",
        "AWS user guide, prompt caching: 3.5 Haiku caches; no thinking before 3.7",
        _COMMON,
        _WITHOUT_REASONING,
        {"max_output": 8192, "turns": {"prefill": "trimmed"}},
    ),
    row(
        "claude-3.5",
        r"anthropic\.claude-3-5-sonnet-20241022",
        "AWS model card: 8192 tokens; no thinking before 3.7",
        _COMMON,
        _WITHOUT_REASONING,
        {"max_output": 8192, "turns": {"prefill": "trimmed"}, "caching": {"accepted": False}},
    ),
    row(
        "claude-3",
        r"anthropic\.claude-3",
        "AWS user guide: no thinking before 3.7; litellm 1.110.2: 4096 tokens",
        _COMMON,
        _WITHOUT_REASONING,
        {"max_output": 4096, "turns": {"prefill": "trimmed"}, "caching": {"accepted": False}},
    ),
    row(
        "claude-2",
        r"anthropic\.claude-(v2|instant)",
        "AWS user guide: neither",
        {"tools": {"accepted": False}, "caching": {"accepted": False}},
    ),
)
