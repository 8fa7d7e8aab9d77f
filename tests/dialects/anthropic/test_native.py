"""Native streams: any split of the bytes gives the same frames, without Bedrock's own members."""

import contextlib
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.bedrock.stream_decoding import NativeDecoder
from app.converse.call import NativeEvent
from app.converse.usage import Usage
from app.dialects.anthropic.native import NativeStream, UsageOfMessages, from_document
from app.dialects.anthropic.response_context import MessageResponseContext
from app.wire import json
from app.wire.eventstream import encode_frame
from tests.bedrock.test_stream_decoding import event_frame, exception_frame
from tests.dialects.streams import joined

RESPONSE_CONTEXT = MessageResponseContext("msg_1", "my-name", "r")
METRICS = {"inputTokenCount": 3, "outputTokenCount": 4, "cacheReadInputTokenCount": 9}
DOCUMENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_bdrk_1", "model": "claude", "usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüezi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS},
]


def chunk(document: Any) -> bytes:
    return event_frame("chunk", {"bytes": b64encode(json.dumps(document)).decode(), "p": "abc"})


STREAM = b"".join(map(chunk, DOCUMENTS))


def events_of(*documents: Any) -> list[NativeEvent]:
    return [NativeEvent(document, json.dumps(document)) for document in documents]


def frames(*pieces: bytes) -> bytes:
    decoder, stream = NativeDecoder(last="message_stop"), NativeStream(RESPONSE_CONTEXT)
    out = b"".join(joined(stream.from_event, decoder.feed(piece)) for piece in pieces)
    decoder.finish()
    return out + stream.finish()


WHOLE = frames(STREAM)


def test_a_ping_passes_byte_for_byte_after_the_event_that_was_held() -> None:
    stream, ping = NativeStream(RESPONSE_CONTEXT), b'{ "type": "ping" }'
    held = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 4}}
    passed = joined(stream.from_event, [*events_of(held), NativeEvent({"type": "ping"}, ping)])
    assert passed == b"event: message_delta\ndata: %b\n\nevent: ping\ndata: %b\n\n" % (json.dumps(held), ping)


def test_events_reach_the_caller_without_bedrocks_members() -> None:
    events = [json.loads(frame.split("data: ")[1]) for frame in WHOLE.decode().removesuffix("\n\n").split("\n\n")]
    assert [event["type"] for event in events] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["model"] == "my-name"
    assert events[0]["message"]["id"] == "msg_bdrk_1"
    assert events[5]["usage"] == {"cache_read_input_tokens": 9, "output_tokens": 4}
    assert events[6] == {"type": "message_stop"}


def passed_on(text: bytes) -> bytes:
    return joined(NativeStream(RESPONSE_CONTEXT).from_event, [NativeEvent(json.loads(text), text)])


def test_unchanged_event_passes_byte_for_byte() -> None:
    text = b'{"type": "content_block_delta", "delta": {"partial_json": "\\u00e9", "novelty": 1.50}, "index": 0}'
    assert passed_on(text) == b"event: content_block_delta\ndata: " + text + b"\n\n"


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"content_block_stop",\n"index":0}',
        b'{"type":"content_block_stop",\r"index":0}',
        b'{"type":"content_block_stop","index":0,"amazon-bedrock-trace":{}}',
        b'{"type":"content_block_stop","index":0,"amazon\\u002dbedrock-trace":{}}',
    ],
)
def test_event_that_cannot_pass_is_encoded_anew(text: bytes) -> None:
    assert passed_on(text) == b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'


def test_single_bytes_give_the_same_frames() -> None:
    assert frames(*(STREAM[index : index + 1] for index in range(len(STREAM)))) == WHOLE


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_any_split_gives_the_same_frames(cuts: list[int]) -> None:
    starts, ends = [0, *sorted(cuts)], [*sorted(cuts), len(STREAM)]
    assert frames(*(STREAM[start:end] for start, end in zip(starts, ends, strict=True))) == WHOLE


def test_complete_response_keeps_all_but_bedrocks_members() -> None:
    document = {"type": "message", "id": "x", "model": "claude", "amazon-bedrock-trace": {}, "novelty": [1]}
    assert from_document(document, RESPONSE_CONTEXT) == {
        "type": "message",
        "id": "x",
        "model": "my-name",
        "novelty": [1],
    }
    with pytest.raises(errors.UpstreamFailed):
        from_document({"Output": {"__type": "UnknownOperationException"}}, RESPONSE_CONTEXT)


def test_tokens_are_read_from_each_event() -> None:
    reader = UsageOfMessages()
    assert reader({"type": "ping"}) is None
    assert reader({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}}) is None
    start = {"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 1, "service_tier": "standard"}
    assert reader({"type": "message_start", "message": {"usage": start}}) == Usage(3, 1, 5, 0, is_final=False)
    assert reader({"type": "message_delta", "usage": {"output_tokens": 9}}) == Usage(3, 9, 5, 0)
    assert reader({"type": "message_delta", "usage": None}) is None
    metrics = {"inputTokenCount": 3, "cacheReadInputTokenCount": 6, "cacheWriteInputTokenCount": 7}
    assert reader({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}) == Usage(3, 9, 5, 7)
    assert reader({"type": "message_stop", "amazon-bedrock-invocationMetrics": 5}) is None
    reasoning = {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}
    assert UsageOfMessages()({"usage": reasoning}) == Usage(0, 9, reasoning=4)


@pytest.mark.parametrize(
    ("kind", "cls"),
    [("overloaded_error", errors.Overloaded), ("rate_limit_error", errors.RateLimited), ("odd", errors.UpstreamFailed)],
)
def test_error_event_fails_the_stream(kind: str, cls: type[errors.GatewayError]) -> None:
    document = {"type": "error", "error": {"type": kind, "message": "Overloaded"}}
    with pytest.raises(cls, match="Overloaded"):
        joined(NativeStream(RESPONSE_CONTEXT).from_event, events_of(document))


@pytest.mark.parametrize("kind", [None, 5, "", "a\nevent: b"])
def test_event_name_cannot_hold_a_line_break(kind: Any) -> None:
    with pytest.raises((TypeError, KeyError)):
        joined(NativeStream(RESPONSE_CONTEXT).from_event, events_of({"type": kind}))


def test_message_delta_may_lack_usage() -> None:
    stream = NativeStream(RESPONSE_CONTEXT)
    joined(stream.from_event, events_of({"type": "message_delta", "delta": {}, "usage": None}))
    assert json.loads(stream.finish().split(b"data: ")[1]) == {"type": "message_delta", "delta": {}, "usage": {}}


@pytest.mark.parametrize(
    "data",
    [
        STREAM[:-5],
        b"".join(map(chunk, DOCUMENTS[:-1])),
        event_frame("chunk", {"bytes": "!!"}),
        event_frame("chunk", {}),
        encode_frame({":message-type": "event"}, b'{"p":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        chunk([1]),
        b"garbage that is long enough to be no frame at all",
        STREAM + exception_frame("modelStreamErrorException", {"message": "no"}),
    ],
)
def test_interrupted_stream_never_succeeds(data: bytes) -> None:
    with pytest.raises(errors.GatewayError):
        frames(data)


def test_failed_stream_ends_with_an_error_event() -> None:
    last = NativeStream(RESPONSE_CONTEXT).fail(errors.UpstreamFailed("broken"))
    assert last.startswith(b"event: error\ndata: ")
    assert json.loads(last.split(b"data: ")[1])["error"] == {"type": "api_error", "message": "broken"}


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["type", "message", "usage"]), st.none() | st.text(max_size=3)), max_size=3
    )
)
def test_malformed_documents_raise_errors_that_the_handler_catches(documents: list[Any]) -> None:
    with contextlib.suppress(LookupError, TypeError, AttributeError):
        joined(NativeStream(RESPONSE_CONTEXT).from_event, events_of(*documents))


def test_tokens_cached_for_an_hour_are_counted_separately() -> None:
    usage_of = UsageOfMessages()
    written = {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 3, "cache_creation": written}
    assert usage_of({"usage": usage}) == Usage(5, 0, 0, 3, cache_write_1h=2)


def test_compacted_rounds_are_counted_beside_the_messages_own_counts() -> None:
    compaction = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500}
    rounds = [compaction, {"type": "message", "input_tokens": 23_000, "output_tokens": 1000}]
    own = {"input_tokens": 23_000, "output_tokens": 1000, "output_tokens_details": {"thinking_tokens": 7}}
    both = (Usage(180_000, 3500), Usage(23_000, 1000))
    whole = UsageOfMessages()({"type": "message", "usage": {**own, "iterations": rounds}})
    assert whole == Usage(203_000, 4500, reasoning=7, rounds=both)
    # in a stream the last count is valid; the first is not the total
    usage_of = UsageOfMessages()
    begun = usage_of({"type": "message_start", "message": {"usage": {"input_tokens": 1, "iterations": rounds[:1]}}})
    assert (begun.rounds, begun.is_final) == (both[:1], False)  # type: ignore[union-attr]
    assert usage_of({"type": "message_delta", "usage": {**own, "iterations": rounds}}) == whole
    assert usage_of({"type": "message_delta", "usage": own}) == Usage(23_000, 1000, reasoning=7)


def test_metrics_count_a_message_without_a_final_usage() -> None:
    usage_of = UsageOfMessages()
    written = {"cache_creation": {"ephemeral_1h_input_tokens": 2}, "cache_creation_input_tokens": 2}
    usage_of({"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1, **written}}})
    counts = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "cacheWriteInputTokenCount": 2}}
    assert usage_of(counts) == Usage(3, 1, 0, 2, cache_write_1h=2, is_final=False)
    counts["amazon-bedrock-invocationMetrics"]["outputTokenCount"] = 8
    assert usage_of(counts) == Usage(3, 8, 0, 2, cache_write_1h=2)
