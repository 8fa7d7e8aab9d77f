"""Models of every vendor but Anthropic. None of them signs its reasoning, so none gets unencrypted reasoning back."""

from app.converse.call import Surface
from app.models.capability_values import CapabilityValues, merged
from app.models.families.row import row

# "This model doesn't support citations" (pydantic-ai 2.68, live, 2026-10: Nova, Llama, Pixtral, DeepSeek; boto3#4597)
_UNSIGNED: CapabilityValues = {"reasoning": {"history": "none"}, "turns": {"citations": False}}
_NOVA: CapabilityValues = merged(
    _UNSIGNED,
    {
        "schemas": {"bare": True, "top_level_unions": False},
        "sampling": {"top_k": "nested"},
        "caching": {"tools": False},
    },
)
# AWS user guides, Amazon Nova, Web Grounding (2026-11)
_NOVA_SEARCH: CapabilityValues = {"tools": {"web_search": "nova_grounding"}}
# where a new row starts, unless evidence contradicts: unsigned reasoning, no cache points, no media in tool results
# ("doesn't support the image field", opencode#50272, 2026-09: all families but Claude, Nova and Llama)
_COMMON: CapabilityValues = merged(
    _UNSIGNED, {"turns": {"media_in_results": frozenset()}, "caching": {"accepted": False}}
)
# AWS user guide, models by API (2026-11): Converse does not serve them
_RESPONSES_ON_MANTLE: CapabilityValues = {
    "native": {"openai_responses": Surface.MANTLE, "translated_to": "openai_responses"}
}
_CHAT_ON_MANTLE: CapabilityValues = {"native": {"openai_chat": Surface.MANTLE}}
# recordings bedrock_mantle: the encrypted reasoning is accepted back
_GPT_BY_RESPONSES: CapabilityValues = {
    "turns": {"system": True},
    "sampling": {"accepted": False},
    "schemas": {"structured_output": "native"},
    "reasoning": {"request": "nested", "by_default": "yes", "history": "encrypted", "encrypted": True},
}
# pydantic-ai#6098 and langchain-aws#1118, live on Converse, 2026-06
_TOOLS_APART: CapabilityValues = {"turns": {"tools_apart": True}}
_AUTO_ONLY: CapabilityValues = {"tools": {"choices": frozenset()}}
# botocore's documentation of SpecificToolChoice: Claude 3 and later, Nova, and Mistral Large
_ANY_ONLY: CapabilityValues = {"tools": {"choices": frozenset({"any"})}}
# recording bedrock_thinking_true_openai_variant: reasoning for one word
_GPT_OSS: CapabilityValues = merged(
    _COMMON,
    _AUTO_ONLY,
    {"schemas": {"structured_output": "native"}, "reasoning": {"request": "effort", "by_default": "always"}},
)

# litellm 1.110.2: GPT, Grok and Kimi K3 refuse a limit below 16
_MIN_16: CapabilityValues = {"output": {"min_length": 16}}
# stdapi#283, live on Converse, 2026-09: no `minimal`; opencode#48195 and langchain-aws 1.9.1 for those without `none`
_GPT_EFFORTS = ("none", "low", "medium", "high", "xhigh", "max")
_GPT: CapabilityValues = merged(
    _COMMON,
    _MIN_16,
    {
        "max_output": 128_000,
        "sampling": {"accepted": False, "max_stop_sequences": 0},
        "reasoning": {"request": "nested", "by_default": "yes", "encrypted": True, "efforts": _GPT_EFFORTS},
        "schemas": {"structured_output": "native"},
        "native": {"openai_responses": Surface.OPENAI},
    },
)
# AWS user guide, card of GPT-6.1 Sol (2026-11): Converse needs `text.format.strict` beside a schema
_GPT_6: CapabilityValues = merged(_GPT, {"schemas": {"strict_format": True}})
_GPT_BY_BASE_ID: CapabilityValues = merged(
    _RESPONSES_ON_MANTLE, _GPT_BY_RESPONSES, {"schemas": {"strict_format": False}}
)
_WITHOUT_NONE: CapabilityValues = {"reasoning": {"by_default": "always", "efforts": _GPT_EFFORTS[1:]}}

ROWS = (
    row(
        "nova-2",
        r"amazon\.nova-(2|premier-2)",
        "recordings bedrock_model_code_execution_tool (Nova 2 Lite); toolChoice `any` recorded; "
        "docs/reference/contracts/mapping.md#reasoning",
        _UNSIGNED,
        {"reasoning": {"request": "max_effort"}, "sampling": {"top_k": "nested"}, "caching": {"tools": False}},
        _NOVA_SEARCH,
    ),
    row(
        "nova-media",
        r"amazon\.nova-(canvas|reel)",
        "AWS user guide, Amazon Nova: Canvas answers with images, Reel with videos",
        {"output": {"text": False}},
    ),
    row(
        "nova-premier",
        r"amazon\.nova-premier",
        "as the rest of Nova; AWS user guide, Amazon Nova, Web Grounding: the only one of its generation that searches",
        _NOVA,
        _NOVA_SEARCH,
    ),
    row(
        "nova",
        r"amazon\.nova",
        "AWS user guide: `any` and `tool` choices, prompt caching on text, topK inside inferenceConfig; no cache point "
        "among its tools (LibreChat#13838); no `$defs` or `title` in a tool's schema (zed#28521, bedrock-chat#645)",
        _NOVA,
    ),
    row(
        "titan-text",
        r"amazon\.titan-(text|tg1)",
        "AWS user guide, supported models and features: no tools, no cache",
        _COMMON,
        {"tools": {"accepted": False}, "schemas": {"structured_output": "prompt"}},
    ),
    row(
        "gpt-on-mantle",
        r"openai\.gpt-(5\.6-cyber|daybreak)",
        "AWS user guide, models by endpoint (2026-11): on mantle only, Responses",
        _COMMON,
        _RESPONSES_ON_MANTLE,
        _GPT_BY_RESPONSES,
    ),
    row(
        "gpt-6-astra",
        r"openai\.gpt-(6-astra|6\.1-sol)",
        "as the rest of GPT-6; opencode#48195 and langchain-aws 1.9.1: it always reasons, without an effort `none`",
        _GPT_6,
        _WITHOUT_NONE,
        {"max_output": 131_072},
        by_base_id=merged(_GPT_BY_BASE_ID, _WITHOUT_NONE),
    ),
    row(
        "gpt-6",
        r"openai\.gpt-([6-9]|\d\d)",
        "AWS user guide, cards of GPT-6 (2026-11): Converse, and Responses at the runtime, by profile; litellm's live "
        "tests (2026-11): no sampling, no stop, effort inside `reasoning`, reasoning never shown",
        _GPT_6,
        by_base_id=_GPT_BY_BASE_ID,
    ),
    row(
        "gpt",
        r"openai\.gpt-5\.([6-9]|\d\d)",
        "AWS user guide, cards of GPT-5.6 (2026-11); the rest as GPT-6",
        _GPT,
        by_base_id=_GPT_BY_BASE_ID,
    ),
    row(
        "gpt-5",
        r"openai\.gpt-5",
        "recording bedrock_mantle reused_tool_call_ids_gpt_5_5; AWS user guide, card of GPT-5.5 (2026-11): Responses, "
        "on mantle by its base id and at the runtime by profile; whether Converse takes the profiles is unknown",
        _COMMON,
        _MIN_16,
        _GPT_BY_RESPONSES,
        {
            "max_output": 128_000,
            "reasoning": {"efforts": _GPT_EFFORTS[:-1]},
            "native": {"openai_responses": Surface.OPENAI, "translated_to": "openai_responses"},
        },
        by_base_id=_RESPONSES_ON_MANTLE,
    ),
    row(
        "gpt-oss-safeguard",
        r"openai\.gpt-oss-safeguard",
        "AWS user guide, models by API (2026-11): as gpt-oss; whether mantle serves Responses for it, sources disagree",
        _GPT_OSS,
    ),
    row(
        "gpt-oss-on-mantle",
        r"openai\.gpt-oss-(20|120)b\Z",
        "recording bedrock_mantle gpt_oss_responses: its id on mantle has no version, and Converse does not know it",
        _GPT_OSS,
        _RESPONSES_ON_MANTLE,
        {"native": {"mantle_path": "/v1"}, "reasoning": {"request": "nested"}},
    ),
    row(
        "gpt-oss",
        r"openai\.gpt-oss",
        "recording bedrock_thinking_true_openai_variant: reasoning_effort accepted; harness-sdk#1241 for toolChoice; "
        "recording bedrock_mantle gpt_oss_responses. Its Chat Completions, which hide its reasoning in the text and "
        "ignore schemas (litellm, 2026-11), are not used",
        _GPT_OSS,
        {"native": {"openai_responses": Surface.MANTLE, "mantle_path": "/v1", "mantle_dropped_suffix": "-1:0"}},
    ),
    row(
        "grok-4.6",
        r"xai\.grok-4\.[6-9]",
        "AWS user guide, card of Grok 4.6 (2026-11): Converse, and Responses at the runtime, by profile ids; "
        "docs/reference/contracts/converse-rules.md#text: it refuses stop sequences; hermes#111043, "
        "kolya-br-proxy#104: and sampling; pydantic-ai 2.68: it always reasons, `low` to `xhigh`",
        _COMMON,
        _MIN_16,
        {
            "sampling": {"accepted": False, "max_stop_sequences": 0},
            "reasoning": {"request": "nested", "by_default": "always", "efforts": ("low", "medium", "high", "xhigh")},
            "native": {"openai_responses": Surface.OPENAI},
        },
    ),
    row(
        "grok-4.3",
        r"xai\.grok-4\.3",
        "AWS user guide, models by API (2026-11): on mantle only, Chat Completions and Responses",
        _COMMON,
        _RESPONSES_ON_MANTLE,
        _CHAT_ON_MANTLE,
    ),
    row(
        "kimi-k3",
        r"moonshotai\.kimi-k3",
        "AWS user guide, card of Kimi K3 (2026-11): Converse, and Responses at the runtime, by profile ids; "
        "models.dev (2026-10): it always reasons, `low`, `high` or `max`",
        _COMMON,
        _MIN_16,
        {
            "max_output": 131_072,
            "schemas": {"structured_output": "native"},
            "reasoning": {"request": "effort", "by_default": "always", "efforts": ("low", "high", "max")},
            "native": {"openai_responses": Surface.OPENAI},
        },
    ),
    row(
        "kimi",
        r"moonshot(ai)?\.kimi-k2",
        "pydantic-ai 2.68: schemas of the answer; langchain-aws 1.9.1: reasoning_effort `low`, `high` or `max`",
        _COMMON,
        _ANY_ONLY,
        {
            "schemas": {"structured_output": "native"},
            "reasoning": {"request": "effort", "efforts": ("low", "high", "max")},
        },
    ),
    row(
        "gemma-4",
        r"google\.gemma-4",
        "AWS user guide, card of Gemma 4 (2026-11): on mantle only, Chat Completions and Responses; structured output",
        _COMMON,
        _RESPONSES_ON_MANTLE,
        _CHAT_ON_MANTLE,
        {"schemas": {"structured_output": "native"}},
    ),
    row(
        "chat-on-mantle",
        r"(deepseek\.v3\.1|qwen\.qwen3-coder-[a-z0-9-]+-instruct|zai\.glm-4\.6)\Z",
        "AWS user guide, models by API (2026-11): on mantle only, Chat Completions; litellm#29490, live: what is not "
        "OpenAI's at /v1, and 400 at /openai/v1",
        _COMMON,
        _CHAT_ON_MANTLE,
        {"native": {"translated_to": "openai_chat", "mantle_path": "/v1"}},
    ),
    row(
        "qwen3",
        r"qwen\.qwen3",
        "recordings bedrock_native_output_qwen, bedrock_thinking_high_qwen_variant: reasoning_config `high` accepted",
        _COMMON,
        _ANY_ONLY,
        {"reasoning": {"request": "config"}, "schemas": {"structured_output": "native"}},
    ),
    row(
        "gemma-3",
        r"google\.gemma-3",
        "recording bedrock_native_output_google",
        _COMMON,
        _ANY_ONLY,
        {"schemas": {"structured_output": "native"}},
    ),
    row(
        "minimax",
        r"minimax\.",
        "recording bedrock_native_output_minimax",
        _COMMON,
        _ANY_ONLY,
        {"schemas": {"structured_output": "native"}},
    ),
    row(
        "glm-5.3",
        r"zai\.glm-5\.3",
        "pydantic-ai 2.68, langchain-aws 1.9.1: any tool choice; it always reasons, `low` to `max`",
        _COMMON,
        {
            "schemas": {"structured_output": "native"},
            "reasoning": {"request": "effort", "by_default": "always", "efforts": _GPT_EFFORTS[1:]},
        },
    ),
    row(
        "glm",
        r"zai\.glm",
        "recording bedrock_zai_native_output; pydantic-ai 2.68, live: it reasons at `high` only",
        _COMMON,
        _ANY_ONLY,
        {"schemas": {"structured_output": "native"}, "reasoning": {"request": "effort", "efforts": ("high",)}},
    ),
    row(
        "mistral-native-output",
        r"mistral\.(magistral-small|ministral-3|mistral-large-3|voxtral)",
        "as the rest of Mistral; pydantic-ai 2.68 and AWS cards: schemas of the answer",
        _COMMON,
        _TOOLS_APART,
        {"schemas": {"structured_output": "native"}},
    ),
    row(
        "mistral",
        r"mistral\.",
        "AWS user guide: toolChoice any and tool; no prompt cache",
        _COMMON,
        _TOOLS_APART,
    ),
    row(
        "llama",
        r"meta\.llama",
        "harness-sdk#1241: no toolChoice but auto; AWS user guide: no prompt cache",
        _COMMON,
        {"turns": {"media_in_results": frozenset({"image"})}},
        _AUTO_ONLY,
        _TOOLS_APART,
        {"schemas": {"structured_output": "prompt"}},
    ),
    row(
        "deepseek-r1",
        r"deepseek\.r1",
        "AWS user guide: no tools on Converse; docs/reference/contracts/mapping.md#reasoning: no control of thinking",
        _COMMON,
        {
            "tools": {"accepted": False},
            "reasoning": {"by_default": "always"},
            "schemas": {"structured_output": "prompt"},
        },
    ),
    row(
        "deepseek-v3",
        r"deepseek\.v3",
        "pydantic-ai 2.68, live: reasoning_effort, it reasons at `high` only; pydantic-ai 2.68 and AWS cards: schemas",
        _COMMON,
        _AUTO_ONLY,
        {
            "schemas": {"structured_output": "native"},
            "reasoning": {"request": "effort", "efforts": ("high",)},
        },
    ),
    row(
        "nemotron-nano",
        r"nvidia\.nemotron-nano",
        "as the others; pydantic-ai 2.68 and AWS cards: schemas of the answer",
        _COMMON,
        _ANY_ONLY,
        {"schemas": {"structured_output": "native"}},
    ),
    row(
        "writer",
        r"writer\.",
        "pydantic-ai 2.68, live on Palmyra X4 and X5: nothing beside a tool result, and no status in it",
        _COMMON,
        _ANY_ONLY,
        _TOOLS_APART,
        {"schemas": {"structured_output": "prompt"}, "turns": {"result_status": False}},
    ),
    row(
        "others",
        r"(ai21|cohere|moonshot(ai)?|nvidia)\.",
        'botocore\'s documentation of SpecificToolChoice; "did not allow prompt caching" (litellm#39210 of nemotron, '
        "portkey's docs-core#1025 of kimi-k2.5)",
        _COMMON,
        _ANY_ONLY,
        {"schemas": {"structured_output": "prompt"}},
    ),
    row(
        "smollm2",
        r"local\.smollm2",
        "the embedded Bedrock's own model: llama.cpp enforces schemas of answers and of required tools by grammars",
        _COMMON,
        {"schemas": {"structured_output": "native"}},
    ),
)
