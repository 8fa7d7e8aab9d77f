"""Golden cases: a directory each.

request.json   what an OpenAI client sends
call.json      the Converse body that it becomes, before any model is known
reply.json     what Converse answers
completion.json  the chat completion that it becomes
chunks.json    the chunks of the same answer, streamed

To add a case, write request.json and reply.json, run `python -m tests.dialects.openai.chat.test_golden`, and read what
it wrote before you believe it.
"""

from pathlib import Path
from typing import Any

import pytest

from app.converse.fold import unfold
from app.dialects.http.documents import validate
from app.dialects.openai.chat.request import to_call
from app.dialects.openai.chat.response import ChatResponseContext, from_reply
from app.dialects.openai.chat.schema_in import ChatRequest
from app.dialects.openai.chat.schema_out import ChatCompletion, ChatCompletionChunk
from app.dialects.openai.chat.stream import ChunkStream
from app.dialects.openai.chat.tools import custom_names
from app.wire import json
from tests.dialects.streams import joined
from tests.dialects.validation import assert_adapted_for_every_family

HERE = Path(__file__).parent / "golden"
CASES = sorted(path.name for path in HERE.iterdir())


def read(case: str, name: str) -> Any:
    return json.loads((HERE / case / name).read_bytes())


def facts_of(case: str) -> ChatResponseContext:
    request = validate(read(case, "request.json"), ChatRequest)
    return ChatResponseContext(
        "chatcmpl-1", 1764000000, request.model or "the-default", custom_names(request), include_usage=True
    )


def call_of(case: str) -> Any:
    return to_call(validate(read(case, "request.json"), ChatRequest))


def described_call(case: str) -> Any:
    call = call_of(case)
    intent = {name: getattr(call.intent, name) for name in call.intent.__slots__ if getattr(call.intent, name)}
    return {"converse": call.converse, "intent": intent, "ignored": call.ignored}


def streamed(case: str) -> list[Any]:
    translator = ChunkStream(facts_of(case))
    data = joined(translator.from_event, unfold(read(case, "reply.json"))) + translator.finish()
    frames = data.decode().removesuffix("\n\n").split("\n\n")
    assert frames.pop() == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


@pytest.mark.parametrize("case", CASES)
def test_request(case: str) -> None:
    assert described_call(case) == read(case, "call.json")


@pytest.mark.parametrize("case", CASES)
def test_reply(case: str) -> None:
    completion = from_reply(read(case, "reply.json"), facts_of(case))
    assert completion == read(case, "completion.json")
    ChatCompletion.model_validate(completion, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_stream(case: str) -> None:
    chunks = streamed(case)
    assert chunks == read(case, "chunks.json")
    for each in chunks:
        ChatCompletionChunk.model_validate(each, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_a_stream_says_what_the_whole_reply_says(case: str) -> None:
    message = read(case, "completion.json")["choices"][0]
    chunks = read(case, "chunks.json")
    deltas = [choice["delta"] for each in chunks for choice in each["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == (message["message"]["content"] or "")
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == message["message"].get(
        "reasoning_content", ""
    )
    reasoning = [block for delta in deltas for block in delta.get("thinking_blocks", [])]
    assert [block.pop("index") for block in reasoning] == list(range(len(reasoning)))
    assert reasoning == message["message"].get("thinking_blocks", [])
    assert [each["choices"][0]["finish_reason"] for each in chunks if each["choices"]][-1] == message["finish_reason"]
    calls: dict[int, Any] = {}
    for delta in deltas:
        for piece in delta.get("tool_calls", []):
            call = calls.setdefault(piece["index"], {"id": piece.get("id"), "type": piece.get("type")})
            for kind in ("function", "custom"):
                for member, value in piece.get(kind, {}).items():
                    call.setdefault(kind, {})[member] = call.get(kind, {}).get(member, "") + value
    assert list(calls) == list(range(len(calls)))
    assert list(calls.values()) == message["message"].get("tool_calls", [])
    assert chunks[-1]["usage"] == read(case, "completion.json")["usage"]


@pytest.mark.parametrize("case", CASES)
def test_adapted_requests_pass_botocore_s_validator_and_leave_the_call_alone(case: str) -> None:
    assert_adapted_for_every_family(lambda: call_of(case))


def write_expectations() -> None:
    """Write what the code does now, to be read by somebody."""
    import json as pretty

    for case in CASES:
        expected = {
            "call.json": described_call(case),
            "completion.json": from_reply(read(case, "reply.json"), facts_of(case)),
            "chunks.json": streamed(case),
        }
        for name, value in expected.items():
            (HERE / case / name).write_text(pretty.dumps(value, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_expectations()
