"""The embedded Bedrock refuses what AWS refuses, in AWS's words, and takes what AWS takes."""

import contextlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.wire import json

pytestmark = pytest.mark.loopback

C3 = "anthropic.claude-3-haiku-20240307-v1:0"
C4 = "anthropic.claude-sonnet-4-20250514-v1:0"
C45 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
C46 = "us.anthropic.claude-sonnet-4-6"
C5 = "us.anthropic.claude-sonnet-5"
NOVA = "amazon.nova-pro-v1:0"
QWEN = "qwen.qwen3-32b-v1:0"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
TITAN = "amazon.titan-text-express-v1"
ECHO = "scripted.echo-v1:0"


def user(*blocks: Any) -> Any:
    return {"role": "user", "content": [{"text": block} if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks: Any) -> Any:
    return {**user(*blocks), "role": "assistant"}


def use(tool_id: str = "t1", **more: Any) -> Any:
    return {"toolUse": {"toolUseId": tool_id, "name": "t", "input": {}, **more}}


def result(tool_id: str = "t1", **more: Any) -> Any:
    return {"toolResult": {"toolUseId": tool_id, "content": [{"text": "r"}], **more}}


def document(name: str = "doc", data: bytes = b"x") -> Any:
    return {"document": {"format": "pdf", "name": name, "source": {"bytes": data}}}


SYSTEM = {"role": "system", "content": [{"text": "s"}]}
IMAGE = {"image": {"format": "png", "source": {"bytes": b"x"}}}
POINT = {"cachePoint": {"type": "default"}}
LONG_POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "t"}}}
TOOLS: Any = {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]}
BAD_SCHEMA: Any = {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "array"}}}}]}
ENABLED = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
ADAPTIVE = {"thinking": {"type": "adaptive"}}


def titled(title: str) -> Any:
    schema = {"type": "object", "additionalProperties": False, "title": title}
    return {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": schema}}}]}


def effort(name: str) -> Any:
    return {"output_config": {"effort": name}}


def schema(text: str) -> Any:
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": text}}}}


REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    (ECHO, [assistant("a")], {}, "A conversation must start with a user message."),
    (ECHO, [], {}, "A conversation must start with a user message."),
    (ECHO, [user("a"), user("b")], {}, "A conversation must alternate between user and assistant roles."),
    (ECHO, [user(" ")], {}, "The text field in the ContentBlock object at messages.0.content.0 is blank."),
    (ECHO, [{"role": "user", "content": []}], {}, "The content field in the Message object at messages.0 is empty."),
    (ECHO, [user("a")], {"system": [{"text": " "}]}, "is blank"),
    (
        ECHO,
        [user("a"), assistant(use()), user(result())],
        {},
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    ),
    (
        ECHO,
        [user("a"), assistant(use(), use("t2")), user(result())],
        {"toolConfig": TOOLS},
        "Expected toolResult blocks at messages.2.content for the following Ids: t2",
    ),
    (
        ECHO,
        [user("a"), assistant("b"), user(result())],
        {"toolConfig": TOOLS},
        "exceeds the number of toolUse blocks of previous turn.",
    ),
    (ECHO, [user("a"), assistant(use()), user(result(), result())], {"toolConfig": TOOLS}, "contain duplicate Ids: t1"),
    (ECHO, [user("a"), assistant(use(), use())], {"toolConfig": TOOLS}, "contain duplicate Ids"),
    (
        ECHO,
        [user("a"), assistant(use()), user(result(status="error", content=[]))],
        {"toolConfig": TOOLS},
        "cannot be empty when status value is error.",
    ),
    (
        ECHO,
        [user("a"), assistant(use()), user(result(content=[{"json": [1]}]))],
        {"toolConfig": TOOLS},
        "Provide a json object for the field and try again.",
    ),
    (ECHO, [user("a"), assistant(use(input=[1]))], {"toolConfig": TOOLS}, "Provide a json object"),
    (ECHO, [user(use())], {"toolConfig": TOOLS}, "'toolUse' blocks are not permitted within user turns."),
    (
        ECHO,
        [user("a"), assistant(result())],
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
    (ECHO, [user(*[IMAGE] * 21)], {}, "too many images: image_count > 20"),
    (ECHO, [user(POINT, *["a", POINT] * 4)], {}, "A maximum of 4 blocks with cache_control may be provided. Found 5."),
    (LLAMA, [user("a", POINT)], {}, "did not allow prompt caching"),
    (C4, [user("a", LONG_POINT)], {}, "ttl"),
    (C45, [user("a", POINT, "b", LONG_POINT)], {}, "must not come after a ttl='5m'"),
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
    (QWEN, [user(IMAGE)], {}, "This model doesn't support the image content block"),
    (
        C45,
        [user("a")],
        {"inferenceConfig": {"temperature": 0.5, "topP": 0.5}},
        "`temperature` and `top_p` cannot both be specified",
    ),
    (C5, [user("a")], {"inferenceConfig": {"temperature": 0.5}}, "`temperature` is deprecated for this model."),
    (C5, [user("a")], {"additionalModelRequestFields": {"top_k": 5}}, "`top_k` is deprecated for this model."),
    (C4, [user("a")], {"inferenceConfig": {"stopSequences": [" "]}}, "non-whitespace"),
    (C46, [user("a"), assistant("b")], {}, "does not support assistant message prefill"),
    (C5, [user("a"), assistant("b")], {}, "does not support assistant message prefill"),
    (C45, [user("a"), assistant("b ")], {}, "trailing whitespace"),
    (C45, [user("a"), assistant(THOUGHT, "b"), user("c")], {}, "signature: Field required"),
    (NOVA, [user("a"), SYSTEM], {}, "role"),
    (C5, [SYSTEM, user("a")], {}, "must follow a user turn"),
    (C5, [user("a"), SYSTEM, user("b")], {}, "alternate"),
    (
        C4,
        [user("a")],
        {"additionalModelRequestFields": ENABLED, "inferenceConfig": {"maxTokens": 1024}},
        "`max_tokens` must be greater than",
    ),
    (
        C4,
        [user("a")],
        {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 5}}},
        "greater than or equal to 1024",
    ),
    (
        C4,
        [user("a")],
        {"additionalModelRequestFields": ENABLED, "inferenceConfig": {"temperature": 0.5}},
        "may only be set to 1",
    ),
    (
        C46,
        [user("a")],
        {"additionalModelRequestFields": ADAPTIVE, "toolConfig": {**TOOLS, "toolChoice": {"any": {}}}},
        "Thinking may not be enabled",
    ),
    (C5, [user("a")], {"additionalModelRequestFields": ENABLED}, 'Use "thinking.type.adaptive"'),
    (NOVA, [user("a")], {"toolConfig": titled("T")}, "extraneous key [title] is not permitted"),
    (C45, [user("a")], {"additionalModelRequestFields": ADAPTIVE}, "adaptive thinking is not supported"),
    (C45, [user("a")], {"additionalModelRequestFields": effort("low")}, "does not support the effort parameter"),
    (C46, [user("a")], {"additionalModelRequestFields": effort("xhigh")}, "does not support effort level 'xhigh'"),
    (C3, [user("a")], {"inferenceConfig": {"maxTokens": 4097}}, "exceeds the model limit of 4096"),
    (C45, [user("a")], {"outputConfig": schema("nope")}, "not a valid JSON schema"),
    (
        C45,
        [user("a")],
        {"outputConfig": schema('{"anyOf":[{"type":"integer","maximum":5}]}')},
        "properties maximum are not supported",
    ),
    (
        C5,
        [user("a")],
        {
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "t", "strict": True, "inputSchema": {"json": {"type": "object"}}}}]
            }
        },
        "strict: Extra inputs are not permitted",
    ),
    (
        C46,
        [user("a")],
        {"additionalModelRequestFields": ADAPTIVE, "inferenceConfig": {"topP": 0.5}},
        "`top_p` must be greater than or equal to 0.95",
    ),
    (C45, [user("a")], {"outputConfig": schema('{"type":"object"}')}, "additionalProperties"),
    (ECHO, [user("a")], {"guardrailConfig": {"guardrailIdentifier": "outcropguard"}}, "must be defined together"),
    (
        ECHO,
        [user("a")],
        {"guardrailConfig": {"guardrailIdentifier": "nobody", "guardrailVersion": "1"}},
        "The provided guardrail identifier is invalid.",
    ),
    ("amazon.titan-embed-text-v2:0", [user("a")], {}, "This action doesn't support the model"),
    ("anthropic.claude-sonnet-5", [user("a")], {}, "with on-demand throughput isn\u2019t supported."),
    ("anthropic.claude-nothing", [user("a")], {}, "The provided model identifier is invalid."),
    (
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl",
        [user("a")],
        {},
        "The provided model identifier is invalid.",
    ),
    ("scripted.echo-v1:0.nonsense", [user("a")], {}, "The provided model identifier is invalid."),
    ("scripted.echo-v1:0.cut-x", [user("a")], {}, "The provided model identifier is invalid."),
]


@pytest.mark.parametrize(("model", "messages", "more", "words"), REFUSED)
def test_refused(bedrock: Any, model: str, messages: Any, more: Any, words: str) -> None:
    with pytest.raises(ClientError) as caught:
        bedrock.converse(modelId=model, messages=messages, **more)
    assert words in caught.value.response["Error"]["Message"]
    expected = "AccessDeniedException" if "caching" in words else "ValidationException"
    assert caught.value.response["Error"]["Code"] == expected


RAN = {"toolUse": {"toolUseId": "s", "name": "nova_code_interpreter", "input": {}, "type": "server_tool_use"}}
GOT = {"toolResult": {"toolUseId": "s", "type": "nova_code_interpreter_result", "content": [{"json": {}}]}}
TAKEN: list[tuple[str, Any, dict[str, Any]]] = [
    (C45, [user("\n", document("company_policy"))], {}),
    (NOVA, [user("a"), assistant(use()), user(result(), "and", document())], {"toolConfig": TOOLS}),
    (
        NOVA,
        [user("a"), assistant(use()), user(result(content=[document()["document"] and document()]))],
        {"toolConfig": TOOLS},
    ),
    (NOVA, [user("a"), assistant(RAN, GOT, "b"), user("c")], {}),
    (
        C45,
        [user("a", POINT, "b", POINT)],
        {"system": [{"text": "s"}, POINT], "toolConfig": {"tools": [*TOOLS["tools"], POINT]}},
    ),
    (C45, [user("a", LONG_POINT, "b", POINT)], {}),
    (C5, [user("a"), SYSTEM], {}),
    (C5, [user("a")], {"additionalModelRequestFields": ADAPTIVE}),
    (C4, [user("a")], {"additionalModelRequestFields": ENABLED}),
    ("us.amazon.nova-2-lite-v1:0", [user("a")], {"toolConfig": titled("T")}),
    (C46, [user("a")], {"additionalModelRequestFields": effort("max"), "inferenceConfig": {"maxTokens": 128_000}}),
    (C4, [user("a"), assistant("b")], {}),
    (QWEN, [user("a")], {"toolConfig": {**TOOLS, "toolChoice": {"any": {}}}}),
    (QWEN, [user("a"), assistant(THOUGHT, "b"), user("c")], {}),
    (C45, [user("a")], {"outputConfig": schema('{"type":"object","additionalProperties":false}')}),
    (ECHO, [user("a")], {"inferenceConfig": {}, "system": [{"text": "s"}]}),
]


@pytest.mark.parametrize(("model", "messages", "more"), TAKEN)
def test_taken_as_the_recordings_show(bedrock: Any, model: str, messages: Any, more: Any) -> None:
    assert bedrock.converse(modelId=model, messages=messages, **more)["stopReason"] in ("end_turn", "tool_use")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"messages": [{"role": "wizard", "content": [{"text": "a"}]}]},
            "Value 'wizard' at 'messages.1.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant, system]",
        ),
        (
            {"toolConfig": {"tools": [{"toolSpec": {"name": "a.b", "inputSchema": {"json": {}}}}]}},
            "Value 'a.b' at 'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
        ),
        (
            {"messages": [user("a"), assistant(use(name="x" * 65))]},
            "Value at 'messages.2.member.content.1.member.toolUse.name' failed to satisfy constraint: Member must have length less than or equal to 64",
        ),
        (
            {"inferenceConfig": {"temperature": 1.5}},
            "Value '1.5' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1",
        ),
        (
            {"requestMetadata": {"a": "é"}},
            "Value at 'requestMetadata' failed to satisfy constraint: Map value must satisfy constraint: [",
        ),
        ({"guardrailConfig": {"trace": "loud"}}, "Value 'loud' at 'guardrailConfig.trace'"),
    ],
)
def test_constraints_of_the_service_model(bedrock: Any, more: Any, words: str) -> None:
    with pytest.raises(ClientError) as caught:
        bedrock.converse(**{"modelId": ECHO, "messages": [user("a")], **more})
    message = caught.value.response["Error"]["Message"]
    assert words in message
    assert message.startswith("1 validation error detected: ")


def test_every_violated_constraint_is_named(bedrock: Any) -> None:
    with pytest.raises(ClientError, match="2 validation errors detected: ") as caught:
        bedrock.converse(modelId="a b", messages=[user("a")], inferenceConfig={"topP": 7})
    assert "'modelId'" in str(caught.value)
    assert "'inferenceConfig.topP'" in str(caught.value)


@pytest.mark.parametrize(
    ("role", "block", "words"),
    [
        ("assistant", {"type": "tool_use", "id": "t:0", "name": "t", "input": {}}, "should match pattern"),
        ("assistant", {"type": "tool_use", "id": "t", "name": "t", "input": {}}, "ids must be unique"),
        ("assistant", {"type": "image", "source": {}}, "'image' blocks are not permitted"),
        ("user", {"type": "text", "text": "and"}, "maximum allowed number of output tokens"),
    ],
)
def test_a_model_refuses_bodies_of_its_own_in_its_own_words(bedrock: Any, role: str, block: Any, words: str) -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "t", "input": {}}]},
        {"role": role, "content": [block]},
    ]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 4097, "messages": messages}
    with pytest.raises(ClientError) as caught:
        bedrock.invoke_model(modelId=C3, body=json.dumps(body))
    assert words.lower() in caught.value.response["Error"]["Message"].lower()


@pytest.mark.parametrize(("version", "words"), [("2026-10-21", "'document' blocks"), ("bedrock-2023-05-31", "")])
def test_documents_of_the_assistant_s_are_refused_since_the_newest_version(
    bedrock: Any, version: str, words: str
) -> None:
    said = {"role": "assistant", "content": [{"type": "document", "source": {}}, {"type": "text", "text": "b"}]}
    messages = [{"role": "user", "content": "a"}, said, {"role": "user", "content": "c"}]
    body = json.dumps({"anthropic_version": version, "max_tokens": 9, "messages": messages})
    refused = pytest.raises(ClientError, match=words) if words else contextlib.nullcontext()
    with refused:
        assert bedrock.invoke_model(modelId=C3, body=body)["body"].read()
