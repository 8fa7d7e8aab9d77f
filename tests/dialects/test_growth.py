"""Work grows in proportion to what callers and replies send, so that no body or response of thousands of pieces blocks
the event loop."""

import base64
import contextlib
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.adaptation import adapt
from app.adaptation.grammar import grammar_of
from app.adaptation.invoke import adapt_invoke
from app.adaptation.schemas import without_unions
from app.bedrock.client import BedrockRequest
from app.converse.call import Intent, ModelCall, NativeCall
from app.dialects.http.response_sender import translate_batch
from app.dialects.openai.chat.response import ChatResponseContext
from app.dialects.openai.chat.response import from_reply as to_completion
from app.dialects.openai.chat.stream import ChunkStream
from app.dialects.openai.responses.native import to_native
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.response import from_reply as to_response
from app.dialects.openai.responses.response_context import ResponseContext
from app.dialects.openai.responses.schema_in import ResponseRequest
from app.dialects.openai.responses.stream import ResponseStream
from app.dialects.openai.responses.tools import tool_config
from app.errors import UpstreamFailed
from app.governance.guardrail import Guardrail
from app.models.capabilities import Capabilities
from app.models.ids import parse_model_id
from app.wire import json

SEAL = ReasoningSigner((b"secret",), "ada", "m")
DOCUMENT = {"document": {"format": "txt", "name": "a", "source": {"bytes": "YQ=="}}}
CITATION = {"title": "t", "location": {"web": {"url": "https://a.example"}}}
LONG = "x" * 400

Work = Callable[[], object]


def of_call(*content: Any) -> Work:
    messages: Any = [{"role": "user", "content": [{"text": "x"}]}, {"role": "assistant", "content": [*content]}]
    end: Any = {"role": "user", "content": [{"text": "x"}]}
    return lambda: adapt(ModelCall("m", {"messages": [*messages, end]}, Intent()), Capabilities())


def of_message(**members: Any) -> Work:
    return lambda: adapt_invoke(NativeCall("m", {"max_tokens": 9, **members}), Capabilities())


def of_choice(tools: list[Any], chosen: list[Any], *, natively: bool) -> Work:
    document = {"input": "x", "tools": tools, "tool_choice": {"type": "allowed_tools", "tools": chosen}}
    if natively:
        return lambda: to_native(document, [], SEAL)
    request = ResponseRequest.model_validate(document)
    return lambda: tool_config(request, [])


def namespace(count: int) -> list[Any]:
    functions = [{"type": "function", "name": f"f{number}"} for number in range(count)]
    return [{"type": "namespace", "name": "n", "tools": functions}]


def one_by_one(count: int) -> list[Any]:
    return [{"type": "function", "namespace": "n", "name": f"f{number}"} for number in range(count)]


def wholly(count: int) -> list[Any]:
    return [{"type": "namespace", "name": "n"}] * count


def chain(count: int) -> Work:
    schemas = {f"{number}": {"$ref": f"#/$defs/{number + 1}"} for number in range(count)}
    return lambda: grammar_of({"type": "object", "$defs": schemas})


def alternatives(count: int) -> Work:
    shared = {"properties": {f"p{number}": {} for number in range(count)}, "anyOf": [1] * count, "$ref": "/" * count}
    return lambda: without_unions({"$defs": {"a": shared}, "anyOf": [{"$ref": "#/$defs/a"}] * (count // 10)})


def required(count: int) -> Work:
    return lambda: without_unions({"anyOf": [{}], "required": [f"{number}" for number in range(count)]})


def name_twice(count: int) -> Work:
    members = b",".join(b'"%d":1' % number for number in range(count))
    body = b'{"' + b"a" * 100 * count + b'":{' + members + b'},"x":1,"x":2}'

    def read() -> None:
        with contextlib.suppress(json.JsonError):
            json.loads_strictly(body)

    return read


def ids(count: int) -> Work:
    calls = [{"toolUseId": "a" * 58 + f"{number // 2:06}", "name": "f", "input": {}} for number in range(count)]
    return of_call(*({"toolUse": call} for call in calls))


def edits(count: int) -> Work:
    return of_message(
        anthropic_beta=[f"computer-use-{number}" for number in range(count)],
        context_management={"edits": [{"type": "compact_20260112"}] * count},
        messages=[{"role": "user", "content": "x", "output_config": {}}] * count,
    )


def unseen(count: int) -> Work:
    body = json.dumps({"n" * 100 * count: {f"{number}": "x" for number in range(count)}})
    request = BedrockRequest("bedrock-runtime", "POST", "/model/cohere.embed-v4:0/invoke", body=body)
    return lambda: Guardrail("g", "1").guard(request, parse_model_id("cohere.embed-v4:0"))


def told(content: dict[str, Any]) -> Work:
    result = {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [content]}}]}
    body = json.dumps({"messages": [result]})
    request = BedrockRequest("bedrock-runtime", "POST", "/model/a.b/converse", body=body)
    return lambda: Guardrail("g", "1").guard(request, parse_model_id("a.b"))


def tags(count: int) -> Work:
    page = base64.b64encode(b"<a&#" * 100 * count).decode()
    return told({"document": {"format": "html", "name": "d", "source": {"bytes": page}}})


def delta(index: int, said: Any) -> Any:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": said}}


def stop(index: int) -> Any:
    return {"contentBlockStop": {"contentBlockIndex": index}}


def reasoning(count: int) -> list[Any]:
    return [delta(0, {"reasoningContent": {"text": LONG}})] * count + [stop(0)]


def blocks(count: int) -> list[Any]:
    return [each for index in range(count) for each in (delta(index, {"text": "x"}), stop(index))]


def response_facts() -> ResponseContext:
    return ResponseContext("resp_1", 1, "m", ResponseRequest())


def streamed(events: list[Any], make: Callable[[Any], bytes]) -> Work:
    return lambda: translate_batch(make, events)


def as_response(events: list[Any]) -> Work:
    def translate() -> None:
        stream = ResponseStream(response_facts())
        for event in events:
            stream.from_event(event)

    return translate


def as_chunks(events: list[Any]) -> Work:
    def translate() -> None:
        stream = ChunkStream(ChatResponseContext("i", 1, "m"))
        for event in events:
            stream.from_event(event)

    return translate


def broken(count: int) -> Work:
    def translate() -> None:
        stream = ResponseStream(response_facts())
        for index in range(count):
            stream.from_event(delta(index, {"text": LONG}))
        stream.fail(UpstreamFailed("it broke"))

    return translate


def reply(count: int) -> Any:
    cited = {"citationsContent": {"content": [{"text": LONG}], "citations": [CITATION]}}
    message = {"role": "assistant", "content": [cited] * count}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": {}}


# with the number of pieces at which quadratic work would be most of the cost
CASES: dict[str, tuple[int, Callable[[int], Work]]] = {
    "a chain of references": (100, chain),
    "references to one schema": (400, alternatives),
    "names asked for": (1000, required),
    "a name twice behind a long one": (400, name_twice),
    "documents of one name": (500, lambda count: of_call(*[DOCUMENT] * count)),
    "ids that begin alike": (1000, ids),
    "chosen tools": (200, lambda count: of_choice(namespace(count), one_by_one(count), natively=False)),
    "chosen tools, natively": (300, lambda count: of_choice(namespace(count), one_by_one(count), natively=True)),
    "one namespace, again and again": (300, lambda count: of_choice(namespace(count), wholly(count), natively=True)),
    "turns of the system": (500, lambda count: of_message(messages=[{"role": "system", "content": "x"}] * count)),
    "edits and betas": (500, edits),
    "texts that a guardrail sees": (500, unseen),
    "a result that a guardrail sees": (
        500,
        lambda count: told({"json": {f"{number}": [{}] for number in range(count)}}),
    ),
    "a page that a guardrail sees": (50, tags),
    "frames of one batch": (1000, lambda count: streamed([b"x" * 1000] * count, bytes)),
    "blocks of text": (1000, lambda count: as_response(blocks(count))),
    "reasoning": (1000, lambda count: as_response(reasoning(count))),
    "reasoning in chunks": (1000, lambda count: as_chunks(reasoning(count))),
    "a stream that breaks": (500, broken),
    "a reply of many citations": (500, lambda count: lambda: to_response(reply(count), response_facts())),
    "a completion of many citations": (
        500,
        lambda count: lambda: to_completion(reply(count), ChatResponseContext("i", 1, "m")),
    ),
}
TIMES = 8


@pytest.mark.timed
@pytest.mark.parametrize("name", CASES)
def test_cost_grows_in_proportion(name: str) -> None:
    count, make = CASES[name]
    few, many = (seconds(make(number)) for number in (count, TIMES * count))
    print(f"{name}: {few * 1000:.1f} ms, {TIMES} times as many {many * 1000:.1f} ms, {many / few:.0f} times as much")
    assert many < 3 * TIMES * few


def seconds(work: Work) -> float:
    """Return the CPU seconds of the fastest run: disturbances only add."""
    spent = []
    for _ in range(3):
        gc.collect()
        gc.disable()  # a collection would search every object, of the tests too
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
        gc.enable()
    return min(spent)
