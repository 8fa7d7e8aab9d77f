"""Everybody but Claude."""

from app.models.families.row import row

_AUTO_ONLY: frozenset[str] = frozenset()

ROWS = (
    row(
        "nova-2",
        r"amazon\.nova-(2|premier-2)",
        "recordings bedrock_model_code_execution_tool (Nova 2 Lite); toolChoice `any` recorded; contracts 5.2",
        reasoning="nova",
    ),
    row("nova", r"amazon\.nova", "AWS user guide: any and tool choices, prompt caching on text", structured="tool"),
    row(
        "titan-text",
        r"amazon\.titan-(text|tg1)",
        "AWS user guide, supported models and features: no tools, no cache",
        tools=False,
        caching=False,
        structured="prompt",
    ),
    row(
        "gpt-oss",
        r"openai\.gpt-oss",
        "recording bedrock_thinking_true_openai_variant: reasoning_effort accepted; harness-sdk#1241 for toolChoice",
        tool_choices=_AUTO_ONLY,
        reasoning="effort",
        caching=False,
        structured="native",
    ),
    row(
        "qwen3",
        r"qwen\.qwen3",
        "recordings bedrock_native_output_qwen, bedrock_thinking_high_qwen_variant",
        caching=False,
        structured="native",
    ),
    row("gemma-3", r"google\.gemma-3", "recording bedrock_native_output_google", caching=False, structured="native"),
    row("minimax", r"minimax\.", "recording bedrock_native_output_minimax", caching=False, structured="native"),
    row("glm", r"zai\.glm", "recording bedrock_zai_native_output", caching=False, structured="native"),
    row(
        "mistral",
        r"mistral\.",
        "AWS user guide: toolChoice any and tool; no prompt cache",
        caching=False,
    ),
    row(
        "llama",
        r"meta\.llama",
        "harness-sdk#1241: no toolChoice but auto; AWS user guide: no prompt cache",
        tool_choices=_AUTO_ONLY,
        caching=False,
        structured="prompt",
    ),
    row(
        "deepseek-r1",
        r"deepseek\.r1",
        "AWS user guide: no tools on Converse; contracts 5.2: no switch for its thinking",
        tools=False,
        caching=False,
        structured="prompt",
    ),
    row(
        "deepseek-v3",
        r"deepseek\.v3",
        "contracts 5.2: reasoning_effort",
        tool_choices=_AUTO_ONLY,
        reasoning="effort",
        caching=False,
    ),
    row(
        "smollm2",
        r"local\.smollm2",
        "the embedded Bedrock's own model: 135 million parameters follow no schema and call no tools",
        tools=False,
        caching=False,
        structured="prompt",
    ),
)
