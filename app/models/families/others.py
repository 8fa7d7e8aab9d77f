"""Everybody but Claude. None of them signs its thoughts, so none is sent one back."""

from typing import Any

from app.models.families.row import row

_UNSIGNED = {"reasoning_history": "none"}
_COMMON: dict[str, Any] = {**_UNSIGNED, "caching": False}
_AUTO_ONLY: dict[str, Any] = {"tool_choices": frozenset()}
# botocore's documentation of SpecificToolChoice: Claude 3 and later, Nova, and Mistral Large
_ANY_ONLY: dict[str, Any] = {"tool_choices": frozenset({"any"})}

ROWS = (
    row(
        "nova-2",
        r"amazon\.nova-(2|premier-2)",
        "recordings bedrock_model_code_execution_tool (Nova 2 Lite); toolChoice `any` recorded; contracts 5.2",
        **_UNSIGNED,
        reasoning="max_effort",
        top_k="nested",
    ),
    row(
        "nova",
        r"amazon\.nova",
        "AWS user guide: `any` and `tool` choices, prompt caching on text, topK inside inferenceConfig",
        **_UNSIGNED,
        top_k="nested",
    ),
    row(
        "titan-text",
        r"amazon\.titan-(text|tg1)",
        "AWS user guide, supported models and features: no tools, no cache",
        **_COMMON,
        tools=False,
        structured="prompt",
    ),
    row(
        "gpt-oss",
        r"openai\.gpt-oss",
        "recording bedrock_thinking_true_openai_variant: reasoning_effort accepted; harness-sdk#1241 for toolChoice",
        **_COMMON,
        **_AUTO_ONLY,
        reasoning="effort",
        structured="native",
    ),
    row(
        "qwen3",
        r"qwen\.qwen3",
        "recordings bedrock_native_output_qwen, bedrock_thinking_high_qwen_variant: reasoning_config `high` accepted",
        **_COMMON,
        **_ANY_ONLY,
        reasoning="config",
        structured="native",
    ),
    row(
        "gemma-3",
        r"google\.gemma-3",
        "recording bedrock_native_output_google",
        **_COMMON,
        **_ANY_ONLY,
        structured="native",
    ),
    row(
        "minimax", r"minimax\.", "recording bedrock_native_output_minimax", **_COMMON, **_ANY_ONLY, structured="native"
    ),
    row("glm", r"zai\.glm", "recording bedrock_zai_native_output", **_COMMON, **_ANY_ONLY, structured="native"),
    row("mistral", r"mistral\.", "AWS user guide: toolChoice any and tool; no prompt cache", **_COMMON),
    row(
        "llama",
        r"meta\.llama",
        "harness-sdk#1241: no toolChoice but auto; AWS user guide: no prompt cache",
        **_COMMON,
        **_AUTO_ONLY,
        structured="prompt",
    ),
    row(
        "deepseek-r1",
        r"deepseek\.r1",
        "AWS user guide: no tools on Converse; contracts 5.2: no switch for its thinking",
        **_COMMON,
        tools=False,
        structured="prompt",
    ),
    row(
        "deepseek-v3",
        r"deepseek\.v3",
        "contracts 5.2: reasoning_effort",
        **_COMMON,
        **_AUTO_ONLY,
        reasoning="effort",
    ),
    row(
        "smollm2",
        r"local\.smollm2",
        "the embedded Bedrock's own model: 135 million parameters follow no schema and call no tools",
        **_COMMON,
        tools=False,
        structured="prompt",
    ),
)
