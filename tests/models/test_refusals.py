"""Error messages that reveal capabilities of a model, and those that do not."""

from typing import Any

import pytest

from app.models.capabilities import Capabilities
from app.models.refusals import override_from_message

CONVERSE = "The model returned the following errors: "
TOLD: list[tuple[str, dict[str, Any], bool]] = [
    ("The maximum tokens you requested exceeds the model limit of 4096. Try again.", {"max_output": 4096}, True),
    (
        "max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5",
        {"max_output": 64_000},
        True,
    ),
    ("`temperature` is deprecated for this model.", {"sampling": {"accepted": False}}, True),
    (
        "Unsupported parameter: 'temperature' is not supported with this model.",
        {"sampling": {"accepted": False}, "native": {"sampling": False}},
        False,
    ),
    (
        "Unsupported value: 'top_p' does not support 0.5 with this model. Only the default (1) value is supported.",
        {"sampling": {"accepted": False}, "native": {"sampling": False}},
        False,
    ),
    (
        "Unsupported value: 'reasoning.effort' does not support 'xhigh' with this model. "
        "Supported values are: 'low', 'medium', and 'high'.",
        {"reasoning": {"efforts": ("low", "medium", "high")}},
        True,
    ),
    (
        "Unsupported value: 'reasoning_effort' does not support null with this model. Supported values are: 'high'.",
        {"reasoning": {"efforts": ("high",)}},
        True,
    ),
    ("`top_k` is deprecated for this model.", {"sampling": {"accepted": False}}, True),
    (
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        {"sampling": {"temperature_with_top_p": False}},
        True,
    ),
    (
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive".',
        {"reasoning": {"request": "adaptive", "adaptive_only": True}},
        True,
    ),
    ('"thinking.type.disabled" is not supported for this model. Use', {"reasoning": {"by_default": "always"}}, True),
    ('"thinking.type.between_tools" is not supported for this model.', {"reasoning": {"between_tools": False}}, True),
    (
        "messages.3.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation. "
        "Remove the block",
        {"reasoning": {"drop_foreign": True}},
        False,
    ),
    ("adaptive thinking is not supported on this model", {"reasoning": {"request": "budget"}}, True),
    (
        "This model does not support effort level 'xhigh'. Supported: high.",
        {"reasoning": {"extra_high_effort": False}},
        True,
    ),
    ("Thinking may not be enabled when tool_choice forces tool use.", {"reasoning": {"with_forced_tool": False}}, True),
    ('tool_choice: type "tool" and "any" are not supported for this model.', {"tools": {"choices": frozenset()}}, True),
    ("This model doesn't support the toolConfig.toolChoice.any field.", {"tools": {"choices": frozenset()}}, True),
    (
        "This model doesn't support the toolConfig.toolChoice.tool field.",
        {"tools": {"choices": frozenset({"any"})}},
        True,
    ),
    (
        "tools.24.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
        {"schemas": {"top_level_unions": False}},
        True,
    ),
    ("tools.0.custom.strict: Extra inputs are not permitted", {"schemas": {"strict_tools": False}}, True),
    (
        "Malformed input request: #/toolConfig/tools/2/toolSpec/inputSchema/json: extraneous key [$defs] is not permitted",
        {"schemas": {"bare": True, "top_level_unions": False}},
        True,
    ),
    ("output_config.format: Extra inputs are not permitted", {"schemas": {"structured_output": "tool"}}, True),
    (
        "Malformed input request: #: extraneous key [output_config] is not permitted, please reformat",
        {"schemas": {"structured_output": "tool"}},
        True,
    ),
    (
        "This model doesn't support the temperature field. Remove temperature and try again.",
        {"sampling": {"accepted": False}},
        True,
    ),
    ("This model doesn't support the inferenceConfig.topP field.", {"sampling": {"accepted": False}}, True),
    ("This model doesn't support the stopSequences field. Remove", {"sampling": {"max_stop_sequences": 0}}, True),
    ("This model doesn't support the status field. Remove status", {"turns": {"result_status": False}}, True),
    ("This model doesn't support citations.", {"turns": {"citations": False}}, True),
    (
        "This model doesn't support the outputConfig field. Remove",
        {"schemas": {"structured_output": "tool"}},
        True,
    ),
    ("User messages cannot contain reasoning content. Please remove", {"reasoning": {"history": "none"}}, True),
    (
        "This model doesn't support the reasoningContent.reasoningText.signature field. Remove",
        {"reasoning": {"history": "none"}},
        True,
    ),
    (
        "Too many strict tools (73). The maximum is 20.",
        {"schemas": {"strict_tools": False, "structured_output": "tool"}},
        False,
    ),
    (
        "Schemas contains too many optional parameters (87)",
        {"schemas": {"strict_tools": False, "structured_output": "tool"}},
        False,
    ),
    (
        "The compiled grammar is too large, which",
        {"schemas": {"strict_tools": False, "structured_output": "tool"}},
        False,
    ),
    (
        "output_config.format.schema: Schema type 'oneOf' is not supported",
        {"schemas": {"structured_output": "tool"}},
        False,
    ),
    ("output_format.schema: For 'object' type", {"schemas": {"structured_output": "tool"}}, False),
    (
        "tools.3.custom: For 'array' type, property 'maxItems' is not supported",
        {"schemas": {"strict_tools": False}},
        False,
    ),
    ("tools.3.custom: Circular reference detected in schema definitions", {"schemas": {"strict_tools": False}}, False),
]


@pytest.mark.parametrize("prefix", ["", CONVERSE])
@pytest.mark.parametrize(("words", "values", "is_lasting"), TOLD)
def test_a_known_refusal_reveals_capabilities(
    words: str, values: dict[str, Any], is_lasting: bool, prefix: str
) -> None:
    override = override_from_message(prefix + words)
    assert override is not None
    assert (override.values, override.is_lasting) == (values, is_lasting)
    assert isinstance(Capabilities().with_values(override.values), Capabilities)


def test_a_known_refusal_in_json_reveals_capabilities() -> None:
    wrapped = CONVERSE + '{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: 9 > 8, which '
    override = override_from_message(wrapped + 'is the maximum allowed number of output tokens for x"}}')
    assert override is not None
    assert override.values == {"max_output": 8}


@pytest.mark.parametrize(
    "words",
    [
        "Value 'adaptive thinking is not supported on this model' failed to satisfy constraint",
        "messages: `temperature` is deprecated for this model",
        # the path contains a name of the caller's
        "output_config.format: Extra inputs are not permitted: Extra inputs are not permitted",
        "tools.0.custom.strict: Extra inputs are not permitted: Extra inputs are not permitted",
        "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level: Extra",
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
        "tools.0.custom.input_schema: JSON schema is invalid",
        "This model does not support assistant message prefill.",
        # it names no field: the verbosity has such values too (opencode#4451)
        "Unsupported value: 'minimal' is not supported with the 'gpt-5.1' model. Supported values are: 'none', 'low'.",
        "Unsupported value: 'reasoning.effort' does not support 'a b' with this model. Supported values are: 'low'.",
        "Unsupported value: 'reasoning.effort' does not support 'x' with this model. Supported values are: 'low'. Try",
        "",
    ],
)
def test_text_of_the_caller_and_other_refusals_reveal_nothing(words: str) -> None:
    assert override_from_message(words) is None
    assert override_from_message(CONVERSE + words) is None
