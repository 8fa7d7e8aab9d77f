"""The bounds of a call, from the body that is sent."""

from typing import Any

import pytest
from msgspec.structs import replace

from app.bedrock.client import BedrockRequest
from app.converse.call import Mode, ModelCall, Surface
from app.dialects.bedrock.native import forward
from app.dialects.bedrock.operations import OPERATIONS
from app.execution.attempt import Attempt
from app.execution.call_bounds import Lengths, bounds_of, quick_bounds_of
from app.execution.executor import Executor
from app.execution.operations.converse import ConverseOperation
from app.execution.operations.passthrough import PassthroughOperation
from app.governance.holds.bounds import CallBounds
from app.routing.planner import Planner, Target
from app.server.request_head import RequestHead
from app.wire import json
from tests.execution.test_executor import Memory, Response, as_it_is, context, executor_over
from tests.execution.test_governed_attempt import CALL

GPT = "openai.gpt-oss-20b-1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
BY_NAME = {operation.name: operation for operation in OPERATIONS}
LONGEST = 64_000
TURNS = {"messages": [{"role": "user", "content": "x"}]}


def target_of(model: str) -> Target:
    (target,) = Planner("z.z").as_named(model)
    return target


async def bounds(body: Any, model: str = CLAUDE, surface: str = "invoke") -> CallBounds:
    """Of a caller's own body."""
    sent = body if isinstance(body, bytes) else json.dumps(body)
    request = BedrockRequest("bedrock-runtime", "POST", f"/model/{model}/invoke", body=sent)
    operation: PassthroughOperation = PassthroughOperation(surface=surface, request=request)  # type: ignore[arg-type]
    target = target_of(model)
    assert quick_bounds_of(operation, sent, Lengths.of(target), reads=True) is None
    return await bounds_of(operation, sent, target, "c")


@pytest.mark.parametrize("length", [-1_000_000, -(10**30), -1, 0, True, False, 1.5, 9.0, "9", [], {}, LONGEST + 1])
async def test_what_is_no_length_does_not_lower_the_bound(length: Any) -> None:
    assert (await bounds({**TURNS, "max_tokens": length})).output == LONGEST
    assert (await bounds({**TURNS, "max_tokens": length, "max_tokens_to_sample": 5})).output == LONGEST
    adapted = replace(ConverseOperation.of(CALL, target_of(CLAUDE), as_it_is), max_tokens=length)
    quick = quick_bounds_of(adapted, b"{}", Lengths.of(target_of(CLAUDE)), reads=True)
    assert quick is not None
    assert quick.output == LONGEST


def converse(*blocks: Any, **members: Any) -> ModelCall:
    body: Any = {"messages": [{"role": "user", "content": [{"text": "x"}, *blocks]}], **members}
    return ModelCall("m", body)


TOOL = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
IMAGE = {"image": {"format": "png", "source": {"bytes": "YQ=="}}}
RESULT = {"toolUseId": "t", "content": [{"json": {"a": 1}}]}


@pytest.mark.parametrize(
    "call",
    [
        converse(),
        converse(toolConfig={"tools": [TOOL]}),
        converse({"toolResult": RESULT}, toolConfig={"tools": [TOOL]}),
        converse(additionalModelRequestFields={"context_management": {"edits": [{"type": "compact_20260112"}]}}),
        converse(outputConfig={"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}}}),
        converse(IMAGE),
        converse({"toolResult": {**RESULT, "content": [IMAGE]}}, toolConfig={"tools": [TOOL]}),
        converse({"document": {"format": "pdf", "name": "a", "source": {"bytes": "YQ=="}}}),
        converse({"audio": {"format": "mp3", "source": {"bytes": "YQ=="}}}),
    ],
)
async def test_what_adaptation_knows_gives_the_bounds_that_a_search_does(call: ModelCall) -> None:
    target = target_of(CLAUDE)
    adapted = ConverseOperation.of(call, target, as_it_is)

    async def bounds_by(operation: ConverseOperation[Any]) -> CallBounds:
        found = quick_bounds_of(operation, adapted.body, Lengths.of(target), reads=True)
        return found or await bounds_of(operation, adapted.body, target, "c")

    assert adapted.contents is not None
    assert await bounds_by(adapted) == await bounds_by(replace(adapted, contents=None))


def test_the_words_of_a_text_are_no_media() -> None:
    call, target = converse({"text": 'an "image", a "tool", "compact_", "file" and \\u0063'}), target_of(CLAUDE)
    adapted = ConverseOperation.of(call, target, as_it_is)
    found = quick_bounds_of(adapted, adapted.body, Lengths.of(target), reads=True)
    assert found == CallBounds(len(adapted.body) + 500, 16_384)


async def test_the_largest_length_counts() -> None:
    assert (await bounds({**TURNS, "max_tokens": 7})).output == 7
    assert (await bounds({**TURNS, "max_tokens": 7, "max_tokens_to_sample": 9})).output == 9


@pytest.mark.parametrize(
    "more",
    [
        {"max_completion_tokens": 60_000},
        {"max_output_tokens": 60_000},
        {"maxTokens": 60_000},
        {"parameters": {"max_new_tokens": 60_000}},
        {"inferenceConfig": {"maxTokens": 60_000}},
        {"additionalModelRequestFields": {"max_tokens": 60_000}},
    ],
)
async def test_the_largest_of_all_lengths_counts(more: Any) -> None:
    assert (await bounds({**TURNS, "max_tokens": 1, **more})).output == 60_000


async def test_a_length_beside_the_format_limits_nothing_alone() -> None:
    assert (await bounds({**TURNS, "additionalModelRequestFields": {"max_tokens": 5}})).output == LONGEST


@pytest.mark.parametrize(
    ("model", "ignored", "read"),
    [
        ("amazon.nova-lite-v1:0", {"max_tokens": 1}, {"inferenceConfig": {"maxTokens": 7}}),
        ("amazon.titan-text-express-v1", {"max_tokens": 1}, {"textGenerationConfig": {"maxTokenCount": 7}}),
        (CLAUDE, {"maxTokens": 1}, {"max_tokens": 7}),
        ("meta.llama3-1-8b-instruct-v1:0", {"max_tokens": 1}, {"max_gen_len": 7}),
        ("mistral.mistral-large-2407-v1:0", {"max_gen_len": 1}, {"max_tokens": 7}),
        ("openai.gpt-oss-20b-1:0", {"max_gen_len": 1}, {"max_completion_tokens": 7}),
    ],
)
async def test_a_length_that_the_model_ignores_does_not_lower_the_bound(model: str, ignored: Any, read: Any) -> None:
    longest = (await bounds({"prompt": "x"}, model)).output
    assert longest > 1000
    assert (await bounds({"prompt": "x", **ignored}, model)).output == longest
    assert (await bounds({"prompt": "x", **ignored, **read}, model)).output == 7


async def test_converse_reads_its_own_length_only() -> None:
    for ignored in ({"max_tokens": 1}, {"maxTokens": 1}, {"inferenceConfig": {"max_new_tokens": 1}}):
        assert (await bounds({**TURNS, **ignored}, surface="converse")).output == LONGEST
    assert (await bounds({**TURNS, "inferenceConfig": {"maxTokens": 7}}, surface="converse")).output == 7


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7"])
async def test_a_body_of_another_format_holds_one_answer(body: bytes) -> None:
    assert await bounds(body) == CallBounds(len(body) + 1_500, LONGEST)


async def test_several_answers_are_held_for() -> None:
    assert (await bounds({**TURNS, "max_tokens": 10, "n": 16})).output == 160
    assert (await bounds({**TURNS, "max_tokens": 10, "n": -3})).output == 10
    assert (await bounds({**TURNS, "max_tokens": 10, "n": 10**30})).output == 1280


async def test_escapes_hide_nothing() -> None:
    compacted = {**TURNS, "max_tokens": 10, "context_management": {"edits": [{"type": "compact_20260112"}]}}
    plain = json.dumps(compacted)
    hidden = plain.replace(b'"compact', b'"\\u0063ompact')
    expected, got = await bounds(plain), await bounds(hidden)
    assert (expected.output, got.output) == (20, 20)
    assert got.input >= 2 * len(plain)
    image = {"prompt": "x", "images": ["a"] * 4, "max_tokens": 1}
    with_escape = json.dumps(image).replace(b'"images"', b'"\\u0069mages"')
    assert (await bounds(with_escape)).input >= 4 * 5_000


async def test_duplicate_keys_hide_nothing() -> None:
    got = await bounds(b'{"max_tokens": 60000, "max_tokens": 1, "messages": []}')
    assert (got.output >= LONGEST, got.input >= 1_000_000) == (True, True)


async def test_images_beside_a_prompt_are_counted() -> None:
    assert (await bounds({"prompt": "x", "images": ["a"] * 4, "max_tokens": 1})).input >= 4 * 5_000


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "document": {"format": "pdf", "source": {"bytes": "YQ=="}}},
        {"document": {"format": "pdf", "source": {"bytes": "YQ==", "text": None}}},
        {"type": "text", "video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://a/b"}}}},
    ],
)
async def test_media_is_counted_beside_other_members(block: Any) -> None:
    assert (await bounds({"messages": [{"role": "user", "content": [block]}]})).input == 1_000_000


@pytest.mark.parametrize(
    ("detail", "tokens"),
    [({"detail": "low"}, 5_000), ({"detail": "high"}, 5_000), ({"detail": "original"}, 20_000), ({}, 20_000)],
)
async def test_an_image_that_openai_s_models_do_not_reduce_has_more_tokens(detail: Any, tokens: int) -> None:
    """10,000 patches, and some models count more than a token for each."""
    url = "data:image/png;base64,YQ=="
    blocks = (
        {"type": "image_url", "image_url": {"url": url, **detail}},
        {"type": "input_image", "image_url": url, **detail},
    )
    for block in blocks:
        found = await bounds({"messages": [{"role": "user", "content": [block]}]})
        assert tokens < found.input < tokens + 2_000


@pytest.mark.parametrize("model", ["amazon.titan-embed-text-v2:0", "cohere.embed-english-v3", "cohere.rerank-v3-5:0"])
async def test_vectors_and_ranks_are_no_output_tokens(model: str) -> None:
    assert (await bounds({"inputText": "x"}, model)).output == 0


@pytest.mark.parametrize(
    ("operation", "body", "headers"),
    [
        ("Converse", b'{"serviceTier":{"type":"priority"}}', {}),
        ("ConverseStream", b'{"service\\u0054ier":{"type":"priority"}}', {}),
        ("InvokeModel", b"{}", {"x-amzn-bedrock-service-tier": "priority"}),
    ],
)
async def test_the_tier_of_a_callers_own_request_is_held_for(
    operation: str, body: bytes, headers: dict[str, str]
) -> None:
    seen: list[str] = []

    def govern(attempt: Attempt) -> Attempt:
        async def note(call: Any, candidate: Any) -> Any:
            seen.append(candidate.operation.tier)
            return await attempt(call, candidate)

        return note

    head = RequestHead("POST", BY_NAME[operation].path.replace("{modelId:path}", "a.b"), "", headers)
    made = replace(context(), head=head, params={"modelId": "a.b"}, body=body)
    executor = await executor_over(Memory(Response(200, [b"{}"])))
    governed: Any = Executor.over(executor.attempt_once.clients, executor.planner, executor.failover, govern=govern)
    await forward(BY_NAME[operation], governed, made)
    assert seen == ["priority"]


HOSTED = {"type": "web_search"}


def native(body: Any, surface: str = "mantle", max_tokens: object = None) -> tuple[Any, bytes]:
    """A body in OpenAI's format that crosses natively."""
    operation = replace(ConverseOperation.of(CALL, target_of(GPT), as_it_is), max_tokens=max_tokens)
    return replace(operation, mode=Mode.NATIVE, surface=Surface(surface), contents=None), json.dumps(body)


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({"max_completion_tokens": 100, "n": 64}, 6_400),
        ({"max_completion_tokens": 1, "max_tokens": 60_000}, 60_000),
        ({"max_output_tokens": 5, "max_new_tokens": 9_000}, 9_000),
    ],
)
async def test_several_answers_and_lengths_of_a_native_call_are_held_for(body: Any, output: int) -> None:
    operation, sent = native({**TURNS, **body}, max_tokens=1)
    assert quick_bounds_of(operation, sent, Lengths.of(target_of(GPT)), reads=True) is None
    assert (await bounds_of(operation, sent, target_of(GPT), "c")).output == output


async def test_one_answer_of_a_native_call_is_known_by_its_bytes() -> None:
    operation, sent = native({**TURNS, "max_completion_tokens": 100, "tools": [{"type": "function"}]}, max_tokens=100)
    found = quick_bounds_of(operation, sent, Lengths.of(target_of(GPT)), reads=True)
    assert found is not None
    assert (found.output, found.input < 3_000) == (100, True)


@pytest.mark.parametrize(
    ("more", "runs"),
    [
        ({"tools": [HOSTED]}, 10),
        ({"tools": [{"type": "function"}, {"type": "mcp", "server_url": "https://a"}], "max_tool_calls": 2}, 3),
        ({"web_search_options": {}}, 10),
    ],
)
async def test_tools_that_bedrock_runs_are_held_for_with_a_context_each_time(more: Any, runs: int) -> None:
    operation, sent = native({"input": "x", "max_output_tokens": 7, **more}, max_tokens=7)
    assert quick_bounds_of(operation, sent, Lengths.of(target_of(GPT)), reads=True) is None
    assert await bounds_of(operation, sent, target_of(GPT), "c") == CallBounds(runs * 1_000_000, runs * 7)


async def test_system_tools_of_converse_are_held_for() -> None:
    tools = {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}}
    found = await bounds({**TURNS, **tools, "inferenceConfig": {"maxTokens": 7}}, surface="converse")
    assert found == CallBounds(10_000_000, 70)
    said = {**TURNS, "max_tokens": 7, "system": 'say "web_search" and "systemTool"'}
    assert (await bounds(said)).input < 3_000
