"""Golden cases: a directory each.

request.json   what an OpenAI client sends
call.json      the Converse body that it becomes, for any model
reply.json     Converse's reply
completion.json  the chat completion that it becomes
chunks.json    the chunks of the same reply, streamed

To add a case, write request.json and reply.json, list it in tests/dialects/situations.py, run
`pytest tests/dialects --update-golden`, and read what it wrote.
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
from tests.dialects.conftest import CheckGolden
from tests.dialects.situations import cases_of
from tests.dialects.streams import joined
from tests.dialects.validation import assert_adapted_for_every_family, described

HERE = Path(__file__).parent / "golden"
CASES = cases_of("openai/chat")


def read(case: str, name: str) -> Any:
    return json.loads((HERE / case / name).read_bytes())


def response_context_of(case: str) -> ChatResponseContext:
    request = validate(read(case, "request.json"), ChatRequest)
    return ChatResponseContext(
        "chatcmpl-1", 1764000000, request.model or "the-default", custom_names(request), include_usage=True
    )


def call_of(case: str) -> Any:
    return to_call(validate(read(case, "request.json"), ChatRequest))


def streamed(case: str) -> list[Any]:
    translator = ChunkStream(response_context_of(case))
    data = joined(translator.from_event, unfold(read(case, "reply.json"))) + translator.finish()
    frames = data.decode().removesuffix("\n\n").split("\n\n")
    assert frames.pop() == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


@pytest.mark.parametrize("case", CASES)
def test_request_becomes_the_call(case: str, check_golden: CheckGolden) -> None:
    check_golden(HERE / case / "call.json", described(call_of(case)))


@pytest.mark.parametrize("case", CASES)
def test_reply_becomes_the_response(case: str, check_golden: CheckGolden) -> None:
    completion = from_reply(read(case, "reply.json"), response_context_of(case))
    check_golden(HERE / case / "completion.json", completion)
    ChatCompletion.model_validate(completion, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_reply_becomes_the_stream(case: str, check_golden: CheckGolden) -> None:
    chunks = streamed(case)
    check_golden(HERE / case / "chunks.json", chunks)
    for each in chunks:
        ChatCompletionChunk.model_validate(each, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_stream_holds_what_the_complete_response_holds(case: str) -> None:
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
def test_adapted_requests_pass_botocores_validator_and_leave_the_call_unchanged(case: str) -> None:
    assert_adapted_for_every_family(lambda: call_of(case))
