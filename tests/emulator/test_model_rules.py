"""A model refuses what it refuses at AWS, over Converse and over InvokeModel."""

from typing import Any

import pytest

from tests.emulator.converse_requests import (
    ECHO,
    HAIKU_3,
    IMAGE,
    NOVA,
    QWEN,
    REASONING,
    SONNET_4,
    SONNET_4_5,
    SONNET_4_6,
    SONNET_5,
    SYSTEM,
    THINKING_ADAPTIVE,
    THINKING_ENABLED,
    TOOLS,
    assert_accepted,
    assert_refused,
    assistant,
    effort,
    user,
)

pytestmark = pytest.mark.loopback

REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    (ECHO, [user(*[IMAGE] * 21)], {}, "too many images: image_count > 20"),
    (QWEN, [user(IMAGE)], {}, "This model doesn't support the image content block"),
    (
        SONNET_4_5,
        [user("a")],
        {"inferenceConfig": {"temperature": 0.5, "topP": 0.5}},
        "`temperature` and `top_p` cannot both be specified",
    ),
    (SONNET_5, [user("a")], {"inferenceConfig": {"temperature": 0.5}}, "`temperature` is deprecated for this model."),
    (SONNET_5, [user("a")], {"additionalModelRequestFields": {"top_k": 5}}, "`top_k` is deprecated for this model."),
    (SONNET_4, [user("a")], {"inferenceConfig": {"stopSequences": [" "]}}, "non-whitespace"),
    (SONNET_4_6, [user("a"), assistant("b")], {}, "does not support assistant message prefill"),
    (SONNET_5, [user("a"), assistant("b")], {}, "does not support assistant message prefill"),
    (SONNET_4_5, [user("a"), assistant("b ")], {}, "trailing whitespace"),
    (SONNET_4_5, [user("a"), assistant(REASONING, "b"), user("c")], {}, "signature: Field required"),
    (NOVA, [user("a"), SYSTEM], {}, "role"),
    (SONNET_5, [SYSTEM, user("a")], {}, "must follow a user turn"),
    (
        SONNET_4,
        [user("a")],
        {"additionalModelRequestFields": THINKING_ENABLED, "inferenceConfig": {"maxTokens": 1024}},
        "`max_tokens` must be greater than",
    ),
    (
        SONNET_4,
        [user("a")],
        {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 5}}},
        "greater than or equal to 1024",
    ),
    (
        SONNET_4,
        [user("a")],
        {"additionalModelRequestFields": THINKING_ENABLED, "inferenceConfig": {"temperature": 0.5}},
        "may only be set to 1",
    ),
    (
        SONNET_4_6,
        [user("a")],
        {"additionalModelRequestFields": THINKING_ADAPTIVE, "toolConfig": {**TOOLS, "toolChoice": {"any": {}}}},
        "Thinking may not be enabled",
    ),
    (SONNET_5, [user("a")], {"additionalModelRequestFields": THINKING_ENABLED}, 'Use "thinking.type.adaptive"'),
    (
        SONNET_4_5,
        [user("a")],
        {"additionalModelRequestFields": THINKING_ADAPTIVE},
        "adaptive thinking is not supported",
    ),
    (SONNET_4_5, [user("a")], {"additionalModelRequestFields": effort("low")}, "does not support the effort parameter"),
    (
        SONNET_4_6,
        [user("a")],
        {"additionalModelRequestFields": effort("xhigh")},
        "does not support effort level 'xhigh'",
    ),
    (HAIKU_3, [user("a")], {"inferenceConfig": {"maxTokens": 4097}}, "exceeds the model limit of 4096"),
    (
        SONNET_5,
        [user("a")],
        {
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "t", "strict": True, "inputSchema": {"json": {"type": "object"}}}}]
            }
        },
        "strict: Extra inputs are not permitted",
    ),
    (
        SONNET_4_6,
        [user("a")],
        {"additionalModelRequestFields": THINKING_ADAPTIVE, "inferenceConfig": {"topP": 0.5}},
        "`top_p` must be greater than or equal to 0.95",
    ),
]


ACCEPTED: list[tuple[str, Any, dict[str, Any]]] = [
    (SONNET_5, [user("a"), SYSTEM], {}),
    (SONNET_5, [user("a")], {"additionalModelRequestFields": THINKING_ADAPTIVE}),
    (SONNET_4, [user("a")], {"additionalModelRequestFields": THINKING_ENABLED}),
    (
        SONNET_4_6,
        [user("a")],
        {"additionalModelRequestFields": effort("max"), "inferenceConfig": {"maxTokens": 128_000}},
    ),
    (SONNET_4, [user("a"), assistant("b")], {}),
    (QWEN, [user("a"), assistant(REASONING, "b"), user("c")], {}),
]


@pytest.mark.parametrize(("model", "messages", "more", "message"), REFUSED)
def test_refused_over_converse(bedrock: Any, model: str, messages: Any, more: Any, message: str) -> None:
    assert_refused(bedrock, model, messages, more, message)


@pytest.mark.parametrize(("model", "messages", "more"), ACCEPTED)
def test_accepted_over_converse(bedrock: Any, model: str, messages: Any, more: Any) -> None:
    assert_accepted(bedrock, model, messages, more)
