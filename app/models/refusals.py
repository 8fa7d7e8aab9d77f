"""Known error messages of models, and the capabilities that each reveals.

A new model has no row in `families`, and what a model accepts differs by account and region (vercel/ai#20128). Its
error message names in fixed words what it does not accept, so that the call can be sent again without that.

A pattern matches from the beginning of a message, since the caller's text may follow. It also matches to the end where
the message begins with the path of a field, since a path may hold the caller's text.
"""

import re
from functools import cache

from msgspec import Struct

from app.converse.model_errors import words_of_model
from app.models.capability_values import CapabilityValues


class CapabilityOverride(Struct, frozen=True):
    """Capabilities that a refusal reveals. is_lasting: they hold for the model, not only for one call."""

    values: CapabilityValues
    is_lasting: bool = True


_WITHOUT_GRAMMAR: CapabilityValues = {"schemas": {"strict_tools": False, "structured_output": "tool"}}

# a number in a pattern is `max_output`, a list of quoted words `efforts`
_LASTING: tuple[tuple[str, CapabilityValues], ...] = (
    # vercel/ai#2772, bedrock-access-gateway#41
    (r"The maximum tokens you requested exceeds? the model limit of ([0-9]{1,9})\b", {}),
    # Claude's own words, as of Haiku 4.5 and Opus 5 (2026-07)
    (r"max_tokens: [0-9]+ > ([0-9]{1,9}), which is the maximum allowed number of output tokens", {}),
    # promptfoo#10307, openclaw#73663
    (r"[`\"]?(?:temperature|top_p|top_k)[`\"]? is deprecated for this model", {"sampling": {"accepted": False}}),
    # hermes#111043, sample-kolya-br-proxy#104 (Grok 4.6): "… Remove the temperature field and try again."
    (
        r"This model doesn't support the (?:inferenceConfig\.)?(?:temperature|topP|top_p|top_k) field",
        {"sampling": {"accepted": False}},
    ),
    (
        r"This model doesn't support the (?:inferenceConfig\.)?stopSequences field",
        {"sampling": {"max_stop_sequences": 0}},
    ),
    # pydantic-ai 2.68: Palmyra; boto3#4597: Nova
    (r"This model doesn't support the status field", {"turns": {"result_status": False}}),
    (r"This model doesn't support citations", {"turns": {"citations": False}}),
    (r"This model doesn't support the outputConfig field", {"schemas": {"structured_output": "tool"}}),
    # bedrock-access-gateway#191
    (
        r"`temperature` and `top_p` cannot both be specified for this model",
        {"sampling": {"temperature_with_top_p": False}},
    ),
    # kilocode#10732
    (
        r"\"?thinking\.type\.enabled\"? is not supported for this model",
        {"reasoning": {"request": "adaptive", "adaptive_only": True}},
    ),
    # Anthropic's words for Opus 5.5 (dev.to, claude5-migration-kit, 2026-10)
    (r"\"?thinking\.type\.disabled\"? is not supported for this model", {"reasoning": {"by_default": "always"}}),
    (r"\"?thinking\.type\.between_tools\"? is not supported for this model", {"reasoning": {"between_tools": False}}),
    # llm-gateway#1928
    (r"adaptive thinking is not supported on this model", {"reasoning": {"request": "budget"}}),
    (r"This model does not support effort level 'xhigh'", {"reasoning": {"extra_high_effort": False}}),
    # OpenAI's words, in both of its APIs (livekit/agents#3966, Kilo-Org/cloud#3807)
    (
        r"Unsupported value: '(?:reasoning_effort|reasoning\.effort)' does not support (?:null|'[a-z]{1,9}') "
        r"with this model\. Supported values are: ('[a-z]{1,9}'(?:(?:, and |, | and )'[a-z]{1,9}'){0,9})\.?\Z",
        {},
    ),
    # CLIProxyAPI#4070; Opus 4.8, Sonnet 5 and Fable 5 accept both (langchain-aws#1141)
    (r"Thinking may not be enabled when tool_choice forces tool use", {"reasoning": {"with_forced_tool": False}}),
    # experiential#804
    (r"tool_choice: type \"tool\" and \"any\" are not supported for this model", {"tools": {"choices": frozenset()}}),
    # bifrost#3196, llama_index#19886
    (r"This model doesn't support the toolConfig\.toolChoice\.any field", {"tools": {"choices": frozenset()}}),
    (r"This model doesn't support the toolConfig\.toolChoice\.tool field", {"tools": {"choices": frozenset({"any"})}}),
    # cua#3303, kilocode#12246
    (
        r"tools\.[0-9]+\.custom\.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
        r"(?: \(|\.?\Z)",
        {"schemas": {"top_level_unions": False}},
    ),
    # zed#28521, mcp-agent#126
    (
        r"Malformed input request: #/toolConfig/tools/[0-9]+/toolSpec/inputSchema/json: extraneous key ",
        {"schemas": {"bare": True, "top_level_unions": False}},
    ),
    # litellm#31582, vercel/ai#18199
    (r"tools\.[0-9]+\.custom\.strict: Extra inputs are not permitted\.?\Z", {"schemas": {"strict_tools": False}}),
    # vercel/ai#14773; litellm#22797 for older models
    (r"output_config\.format: Extra inputs are not permitted\.?\Z", {"schemas": {"structured_output": "tool"}}),
    (
        r"Malformed input request: #: extraneous key \[output_config\] is not permitted",
        {"schemas": {"structured_output": "tool"}},
    ),
    # langchain-aws#401, vercel/ai#7034; pi#686
    (r"User messages cannot contain reasoning content", {"reasoning": {"history": "none"}}),
    (r"This model doesn't support the reasoningContent\.reasoningText\.", {"reasoning": {"history": "none"}}),
)
_OF_ONE_CALL: tuple[tuple[str, CapabilityValues], ...] = (
    # OpenAI's words (OpenHands/software-agent-sdk#1837, litellm#36970 of Gemma 4 on mantle). It does not hold for the
    # model: some accept sampling while they do not reason (litellm#31625)
    (
        r"Unsupported (?:parameter: '(?:temperature|top_p)' is not supported with this model\b"
        r"|value: '(?:temperature|top_p)' does not support )",
        {"sampling": {"accepted": False}, "native": {"sampling": False}},
    ),
    # schemas that the compiler refuses, or refuses together in one call (pydantic-ai#5579, inbox-zero#2323,
    # genkit#5230)
    (
        r"(?:tools\.[0-9]+\.custom: |output_(?:config\.)?format(?:\.schema)?: )?"
        r"(?:Too many strict tools|Schemas contains too many|The compiled grammar is too large|Schema is too complex)",
        _WITHOUT_GRAMMAR,
    ),
    (r"output_(?:config\.)?format\.schema: ", {"schemas": {"structured_output": "tool"}}),
    # AWS user guide, preserved thinking
    (
        r"messages\.[0-9]+\.content\.[0-9]+: Invalid `[a-z_]+` in `[a-z_]+` block\. "
        r"The block is bound to a different conversation\.",
        {"reasoning": {"drop_foreign": True}},
    ),
    (
        r"tools\.[0-9]+\.custom: (?:For '|Schema type|Invalid schema|Circular|Invalid regex|Unsupported regex)",
        {"schemas": {"strict_tools": False}},
    ),
)
_QUOTED = re.compile(r"'([a-z]+)'")


@cache
def _refusals() -> list[tuple[re.Pattern[str], CapabilityOverride]]:
    """Return the patterns; few gateways meet a refusal, and to compile them takes a part of the start."""
    return [
        (re.compile(pattern), CapabilityOverride(values, is_lasting))
        for table, is_lasting in ((_LASTING, True), (_OF_ONE_CALL, False))
        for pattern, values in table
    ]


def override_from_message(message: str) -> CapabilityOverride | None:
    """Return the capabilities that Bedrock's message reveals of a model, if any."""
    _, words = words_of_model(message)
    for pattern, override in _refusals():
        if match := pattern.match(words):
            return CapabilityOverride(_listed_values(match[1])) if pattern.groups else override
    return None


def _listed_values(words: str) -> CapabilityValues:
    """Return the values for the number, or for the quoted efforts, that a message lists."""
    if words.isdigit():
        return {"max_output": int(words)}
    return {"reasoning": {"efforts": tuple(_QUOTED.findall(words))}}
