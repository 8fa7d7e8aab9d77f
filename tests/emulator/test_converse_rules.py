"""Converse refuses what AWS refuses, with AWS's message, and accepts what the recordings show accepted."""

from typing import Any

import pytest

from tests.emulator.converse_requests import (
    CACHE_POINT,
    ECHO,
    HOUR_CACHE_POINT,
    IMAGE,
    LLAMA,
    NOVA,
    QWEN,
    SONNET_4,
    SONNET_4_5,
    SONNET_5,
    SYSTEM,
    TITAN,
    TOOLS,
    assert_accepted,
    assert_refused,
    assistant,
    document,
    output_schema,
    tool_result,
    tool_use,
    tools_with_title,
    user,
)

pytestmark = pytest.mark.loopback

BAD_SCHEMA: Any = {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "array"}}}}]}
SERVER_TOOL_USE = {
    "toolUse": {"toolUseId": "s", "name": "nova_code_interpreter", "input": {}, "type": "server_tool_use"}
}
SERVER_TOOL_RESULT = {
    "toolResult": {"toolUseId": "s", "type": "nova_code_interpreter_result", "content": [{"json": {}}]}
}


REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    (ECHO, [assistant("a")], {}, "A conversation must start with a user message."),
    (ECHO, [], {}, "A conversation must start with a user message."),
    (ECHO, [user("a"), user("b")], {}, "A conversation must alternate between user and assistant roles."),
    (ECHO, [user(" ")], {}, "The text field in the ContentBlock object at messages.0.content.0 is blank."),
    (ECHO, [{"role": "user", "content": []}], {}, "The content field in the Message object at messages.0 is empty."),
    (ECHO, [user("a")], {"system": [{"text": " "}]}, "is blank"),
    (
        ECHO,
        [user("a"), assistant(tool_use()), user(tool_result())],
        {},
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    ),
    (
        ECHO,
        [user("a"), assistant(tool_use(), tool_use("t2")), user(tool_result())],
        {"toolConfig": TOOLS},
        "Expected toolResult blocks at messages.2.content for the following Ids: t2",
    ),
    (
        ECHO,
        [user("a"), assistant("b"), user(tool_result())],
        {"toolConfig": TOOLS},
        "exceeds the number of toolUse blocks of previous turn.",
    ),
    (
        ECHO,
        [user("a"), assistant(tool_use()), user(tool_result(), tool_result())],
        {"toolConfig": TOOLS},
        "contain duplicate Ids: t1",
    ),
    (ECHO, [user("a"), assistant(tool_use(), tool_use())], {"toolConfig": TOOLS}, "contain duplicate Ids"),
    (
        ECHO,
        [user("a"), assistant(tool_use()), user(tool_result(status="error", content=[]))],
        {"toolConfig": TOOLS},
        "cannot be empty when status value is error.",
    ),
    (
        ECHO,
        [user("a"), assistant(tool_use()), user(tool_result(content=[{"json": [1]}]))],
        {"toolConfig": TOOLS},
        "Provide a json object for the field and try again.",
    ),
    (ECHO, [user("a"), assistant(tool_use(input=[1]))], {"toolConfig": TOOLS}, "Provide a json object"),
    (ECHO, [user(tool_use())], {"toolConfig": TOOLS}, "'toolUse' blocks are not permitted within user turns."),
    (
        ECHO,
        [user("a"), assistant(tool_result())],
        {"toolConfig": TOOLS},
        "'toolResult' blocks are not permitted within assistant turns.",
    ),
    (ECHO, [user("a"), assistant(IMAGE)], {}, "'image' blocks are not permitted within assistant turns."),
    (ECHO, [user("a"), assistant("b", document())], {}, "'document' blocks are not permitted within assistant turns."),
    (ECHO, [user("a")], {"toolConfig": BAD_SCHEMA}, "must be one of the following: object."),
    (ECHO, [user(document())], {}, "A text block must be included when using documents."),
    (ECHO, [user("a", document("a.b"))], {}, "The document file name can only contain alphanumeric characters"),
    (ECHO, [user("a", document("a  b"))], {}, "The document file name can only contain"),
    (ECHO, [user("a", document(), document())], {}, "Messages can't contain duplicate document names."),
    (
        ECHO,
        [user("a", *[document(f"d{number}") for number in range(6)])],
        {},
        "You can't include more than 5 documents in a request.",
    ),
    (ECHO, [user("a", document(data=bytes(4_800_000)))], {}, "The maximum document size is 4.5 MB."),
    (
        ECHO,
        [user({"image": {"format": "png", "source": {"bytes": bytes(4_000_000)}}})],
        {},
        "The maximum image size is 3.75 MB.",
    ),
    (
        ECHO,
        [user(CACHE_POINT, *["a", CACHE_POINT] * 4)],
        {},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (LLAMA, [user("a", CACHE_POINT)], {}, "did not allow prompt caching"),
    (SONNET_4, [user("a", HOUR_CACHE_POINT)], {}, "ttl"),
    (SONNET_4_5, [user("a", CACHE_POINT, "b", HOUR_CACHE_POINT)], {}, "must not come after a ttl='5m'"),
    (
        LLAMA,
        [user("a")],
        {"toolConfig": {**TOOLS, "toolChoice": {"any": {}}}},
        "This model doesn't support the toolConfig.toolChoice.any field.",
    ),
    (
        QWEN,
        [user("a")],
        {"toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "t"}}}},
        "doesn't support the toolConfig.toolChoice.tool field.",
    ),
    (TITAN, [user("a")], {"toolConfig": TOOLS}, "This model doesn't support tool use."),
    (SONNET_5, [user("a"), SYSTEM, user("b")], {}, "alternate"),
    (NOVA, [user("a")], {"toolConfig": tools_with_title("T")}, "extraneous key [title] is not permitted"),
    (SONNET_4_5, [user("a")], {"outputConfig": output_schema("nope")}, "not a valid JSON schema"),
    (
        SONNET_4_5,
        [user("a")],
        {"outputConfig": output_schema('{"anyOf":[{"type":"integer","maximum":5}]}')},
        "properties maximum are not supported",
    ),
    (SONNET_4_5, [user("a")], {"outputConfig": output_schema('{"type":"object"}')}, "additionalProperties"),
]


ACCEPTED: list[tuple[str, Any, dict[str, Any]]] = [
    (SONNET_4_5, [user("\n", document("company_policy"))], {}),
    (NOVA, [user("a"), assistant(tool_use()), user(tool_result(), "and", document())], {"toolConfig": TOOLS}),
    (
        NOVA,
        [user("a"), assistant(tool_use()), user(tool_result(content=[document()["document"] and document()]))],
        {"toolConfig": TOOLS},
    ),
    (NOVA, [user("a"), assistant(SERVER_TOOL_USE, SERVER_TOOL_RESULT, "b"), user("c")], {}),
    (
        SONNET_4_5,
        [user("a", CACHE_POINT, "b", CACHE_POINT)],
        {"system": [{"text": "s"}, CACHE_POINT], "toolConfig": {"tools": [*TOOLS["tools"], CACHE_POINT]}},
    ),
    (SONNET_4_5, [user("a", HOUR_CACHE_POINT, "b", CACHE_POINT)], {}),
    ("us.amazon.nova-2-lite-v1:0", [user("a")], {"toolConfig": tools_with_title("T")}),
    (QWEN, [user("a")], {"toolConfig": {**TOOLS, "toolChoice": {"any": {}}}}),
    (SONNET_4_5, [user("a")], {"outputConfig": output_schema('{"type":"object","additionalProperties":false}')}),
    (ECHO, [user("a")], {"inferenceConfig": {}, "system": [{"text": "s"}]}),
]


@pytest.mark.parametrize(("model", "messages", "more", "message"), REFUSED)
def test_refused_with_the_message_of_aws(bedrock: Any, model: str, messages: Any, more: Any, message: str) -> None:
    assert_refused(bedrock, model, messages, more, message)


@pytest.mark.parametrize(("model", "messages", "more"), ACCEPTED)
def test_accepted_as_the_recordings_show(bedrock: Any, model: str, messages: Any, more: Any) -> None:
    assert_accepted(bedrock, model, messages, more)
