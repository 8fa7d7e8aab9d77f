"""What a model's refusal tells of the model: which of its capabilities are other than they were thought to be.

New models come before anybody has described them, and what one takes differs by account and region (vercel/ai#20128).
A refusal names in fixed words what a model does not take, so it can be asked again without that. Only words from the
beginning count, and to the end where they begin with the path of a field: what a caller has said is repeated further
behind, or in such a path.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from app.converse.model_errors import words_of_model


class CapabilityOverride(Struct, frozen=True):
    """What a refusal tells. values: fields of `Capabilities`. is_lasting: it holds for the model, not for one call."""

    values: Mapping[str, Any]
    is_lasting: bool = True


_WITHOUT_GRAMMAR: dict[str, Any] = {"strict_tools": False, "structured": "tool"}

# the number in a pattern, if there is one, is the trait `most_output`
_LASTING: tuple[tuple[str, dict[str, Any]], ...] = (
    # vercel/ai#2772, bedrock-access-gateway#41
    (r"The maximum tokens you requested exceeds? the model limit of ([0-9]{1,9})\b", {}),
    # Claude's own words, as of Haiku 4.5 and Opus 5 (2026-07)
    (r"max_tokens: [0-9]+ > ([0-9]{1,9}), which is the maximum allowed number of output tokens", {}),
    # promptfoo#10307, openclaw#73663
    (r"[`\"]?(?:temperature|top_p|top_k)[`\"]? is deprecated for this model", {"sampling": False}),
    # bedrock-access-gateway#191
    (r"`temperature` and `top_p` cannot both be specified for this model", {"temperature_with_top_p": False}),
    # kilocode#10732
    (
        r"\"?thinking\.type\.enabled\"? is not supported for this model",
        {"reasoning": "adaptive", "adaptive_only": True},
    ),
    # llm-gateway#1928
    (r"adaptive thinking is not supported on this model", {"reasoning": "budget"}),
    (r"This model does not support effort level 'xhigh'", {"extra_high_effort": False}),
    # CLIProxyAPI#4070; Opus 4.8, Sonnet 5 and Fable 5 take both (langchain-aws#1141)
    (r"Thinking may not be enabled when tool_choice forces tool use", {"forced_with_reasoning": False}),
    # experiential#804
    (r"tool_choice: type \"tool\" and \"any\" are not supported for this model", {"tool_choices": frozenset()}),
    # bifrost#3196, llama_index#19886
    (r"This model doesn't support the toolConfig\.toolChoice\.any field", {"tool_choices": frozenset()}),
    (r"This model doesn't support the toolConfig\.toolChoice\.tool field", {"tool_choices": frozenset({"any"})}),
    # cua#3303, kilocode#12246
    (
        r"tools\.[0-9]+\.custom\.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
        r"(?: \(|\.?\Z)",
        {"top_level_unions": False},
    ),
    # zed#28521, mcp-agent#126
    (
        r"Malformed input request: #/toolConfig/tools/[0-9]+/toolSpec/inputSchema/json: extraneous key ",
        {"bare_schemas": True, "top_level_unions": False},
    ),
    # litellm#31582, vercel/ai#18199
    (r"tools\.[0-9]+\.custom\.strict: Extra inputs are not permitted\.?\Z", {"strict_tools": False}),
    # vercel/ai#14773; litellm#22797 for older models
    (r"output_config\.format: Extra inputs are not permitted\.?\Z", {"structured": "tool"}),
    (r"Malformed input request: #: extraneous key \[output_config\] is not permitted", {"structured": "tool"}),
    # langchain-aws#401, vercel/ai#7034; pi#686
    (r"User messages cannot contain reasoning content", {"reasoning_history": "none"}),
    (r"This model doesn't support the reasoningContent\.reasoningText\.", {"reasoning_history": "none"}),
)
# schemas that the compiler does not take, or all of one call together (pydantic-ai#5579, inbox-zero#2323, genkit#5230)
_OF_ONE_CALL: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        r"(?:tools\.[0-9]+\.custom: |output_(?:config\.)?format(?:\.schema)?: )?"
        r"(?:Too many strict tools|Schemas contains too many|The compiled grammar is too large|Schema is too complex)",
        _WITHOUT_GRAMMAR,
    ),
    (r"output_(?:config\.)?format\.schema: ", {"structured": "tool"}),
    (
        r"tools\.[0-9]+\.custom: (?:For '|Schema type|Invalid schema|Circular|Invalid regex|Unsupported regex)",
        {"strict_tools": False},
    ),
)
_REFUSALS = [
    (re.compile(pattern), CapabilityOverride(values, is_lasting))
    for table, is_lasting in ((_LASTING, True), (_OF_ONE_CALL, False))
    for pattern, values in table
]


def override_from_message(message: str) -> CapabilityOverride | None:
    """What Bedrock's message tells of the model that was asked, if anything."""
    _, words = words_of_model(message)
    for pattern, override in _REFUSALS:
        if match := pattern.match(words):
            return CapabilityOverride({"max_output": int(match[1])}) if pattern.groups else override
    return None
