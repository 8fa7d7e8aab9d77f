"""Event streams: any split of the bytes gives the same events, and a broken stream is an error."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.bedrock.reported_usage import UsageTap, usage_of_headers
from app.bedrock.stream_decoding import EventDecoder, ServerSentDecoder
from app.converse.usage import Usage
from app.wire import json
from app.wire.eventstream import encode_frame

EVENTS: list[tuple[str, dict[str, object]]] = [
    ("messageStart", {"role": "assistant", "p": "abc"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Grüezi"}, "p": "abcdef"}),
    ("contentBlockStop", {"contentBlockIndex": 0, "p": "a"}),
    ("messageStop", {"stopReason": "end_turn", "p": "ab"}),
    (
        "metadata",
        {"usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}, "metrics": {"latencyMs": 5}, "p": "a"},
    ),
]


def event_frame(kind: str, payload: dict[str, object]) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, json.dumps(payload))


def exception_frame(kind: str, payload: dict[str, object]) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode_frame(headers, json.dumps(payload))


STREAM = b"".join(event_frame(*event) for event in EVENTS)
DECODED = [{kind: {key: value for key, value in payload.items() if key != "p"}} for kind, payload in EVENTS]


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_events_are_the_same_however_bytes_are_split(cuts: list[int]) -> None:
    decoder = EventDecoder()
    got: list[object] = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(STREAM)], strict=True):
        got += decoder.feed(STREAM[start:end])
    decoder.finish()
    assert got == DECODED


@pytest.mark.parametrize(
    "length",
    [
        0,
        10,
        len(event_frame(*EVENTS[0])),
        len(STREAM) - len(event_frame(*EVENTS[4])) - len(event_frame(*EVENTS[3])),
        len(STREAM) - 1,
    ],
)
def test_truncated_stream_is_an_error(length: int) -> None:
    decoder = EventDecoder()
    decoder.feed(STREAM[:length])
    with pytest.raises(errors.UpstreamFailed):
        decoder.finish()


def test_exception_frame_is_raised_after_the_events_before_it() -> None:
    decoder = EventDecoder()
    data = event_frame(*EVENTS[0]) + exception_frame("throttlingException", {"message": "slow"})
    assert decoder.feed(data) == DECODED[:1]
    with pytest.raises(errors.RateLimited, match="slow"):
        decoder.feed(b"")
    with pytest.raises(errors.RateLimited):
        decoder.finish()


def test_lone_exception_frame_is_raised_at_once() -> None:
    with pytest.raises(errors.UpstreamFailed, match="It broke"):
        EventDecoder().feed(
            exception_frame("modelStreamErrorException", {"message": "m", "originalMessage": "It broke"})
        )


def test_error_frame_is_raised() -> None:
    headers = {":message-type": "error", ":error-code": "InternalServerException", ":error-message": "oops"}
    with pytest.raises(errors.InternalFailure, match="oops"):
        EventDecoder().feed(encode_frame(headers, b""))


def test_tap_reports_an_incomplete_message_of_anthropic() -> None:
    start, stop, delta = ({"type": f"message_{name}"} for name in ("start", "stop", "delta"))
    for documents, is_cut in (
        ((start,), True),
        ((start, delta), True),
        ((start, delta, stop), False),
        ((delta,), False),
        (({"outputText": "x"},), False),
        (([1], start), False),
    ):
        tap = UsageTap()
        for document in documents:
            tap.feed(chunk(document))  # type: ignore[arg-type]
        assert tap.is_incomplete == is_cut
    tap.feed(b"x" * 40)
    assert not tap.is_incomplete


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 40,
        event_frame(*EVENTS[0])[:-1] + b"\x00",
        encode_frame({":message-type": "event", ":event-type": "a"}, b"{"),
        encode_frame({":message-type": "exception"}, b"<"),
    ],
)
def test_garbage_is_upstream_failed(data: bytes) -> None:
    with pytest.raises(errors.GatewayError, match="malformed"):
        EventDecoder().feed(data)


def chunk(document: dict[str, object]) -> bytes:
    return event_frame("chunk", {"bytes": b64encode(json.dumps(document)).decode(), "p": "abc"})


def test_tap_reads_usage_of_converse_and_of_invoke() -> None:
    tap = UsageTap()
    for byte in STREAM:
        tap.feed(bytes([byte]))
    assert (tap.usage, tap.error, tap.is_at_boundary) == (Usage(3, 4), None, True)
    tap = UsageTap()
    tap.feed(chunk({"type": "message_start"}))
    metrics = {
        "inputTokenCount": 5,
        "outputTokenCount": 6,
        "cacheReadInputTokenCount": 7,
        "cacheWriteInputTokenCount": 8,
    }
    tap.feed(chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}))
    assert tap.usage == Usage(5, 6, 7, 8)
    tap = UsageTap()
    tap.feed(chunk({"message": {"usage": {"cache_creation": {"ephemeral_1h_input_tokens": 2}}}}))
    tap.feed(chunk({"amazon-bedrock-invocationMetrics": metrics}))
    assert tap.usage == Usage(5, 6, 7, 8, cache_write_1h=2)
    tap = UsageTap()
    rounds = [{"type": kind, "input_tokens": 5, "output_tokens": 6} for kind in ("compaction", "message")]
    tap.feed(chunk({"type": "message_start"}))
    tap.feed(chunk({"type": "message_delta", "usage": {"iterations": rounds}}))
    tap.feed(chunk({"amazon-bedrock-invocationMetrics": metrics}))
    assert tap.usage == Usage(10, 12, rounds=(Usage(5, 6), Usage(5, 6)))
    tap = UsageTap()
    tap.feed(chunk({"type": "message_start"}))
    assert tap.usage is None
    tap.feed(event_frame("chunk", {"bytes": "%"}))
    assert tap.usage is None


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 40,
        encode_frame({":message-type": "event", ":event-type": "metadata"}, b"[]"),
    ],
)
def test_tap_never_raises(data: bytes) -> None:
    tap = UsageTap()
    tap.feed(data)
    tap.feed(STREAM)
    assert isinstance(tap.error, errors.UpstreamFailed)
    assert not tap.is_at_boundary
    assert tap.usage is None


@pytest.mark.parametrize("metadata", [{}, {"usage": None}, {"usage": [1]}])
def test_stream_without_usage_is_complete(metadata: dict[str, object]) -> None:
    tap = UsageTap()
    for event in EVENTS[:-1]:
        tap.feed(event_frame(*event))
    tap.feed(event_frame("metadata", metadata))
    assert (tap.usage, tap.error, tap.is_incomplete) == (None, None, False)


def test_tap_reads_reasoning_tokens() -> None:
    tap = UsageTap()
    more = {"usage": {"output_tokens_details": {"thinking_tokens": 12}}}
    tap.feed(event_frame("messageStop", {"stopReason": "end_turn", "additionalModelResponseFields": more}))
    tap.feed(event_frame("metadata", {"usage": {"inputTokens": 3, "outputTokens": 20}}))
    assert tap.usage == Usage(3, 20, reasoning=12)


@pytest.mark.parametrize("count", ["", "-1", "1" * 13, "²", "1.0"])
def test_malformed_count_header_is_skipped(count: str) -> None:
    headers = (("x-amzn-bedrock-input-token-count", count), ("x-amzn-bedrock-output-token-count", "5"))
    assert usage_of_headers(headers) == Usage(output=5)
    assert usage_of_headers(headers[:1]) is None


def test_tap_reports_an_exception_and_frame_boundaries() -> None:
    tap = UsageTap()
    tap.feed(STREAM[:20])
    assert not tap.is_at_boundary
    tap.feed(STREAM[20:] + exception_frame("throttlingException", {"message": "m"}))
    assert isinstance(tap.error, errors.RateLimited)


SSE = b'data: {"type":"a"}\nevent: a\n\ndata: {"type":"b"}\nevent: b\n\n'


def test_server_sent_documents_are_decoded() -> None:
    decoder = ServerSentDecoder(frozenset({"b"}))
    assert [document for byte in SSE for document in decoder.feed(bytes([byte]))] == [{"type": "a"}, {"type": "b"}]
    decoder.finish()
    done = ServerSentDecoder()
    assert done.feed(b'data: {"choices":[]}\n\ndata: [DONE]\n\n') == [{"choices": []}]
    done.finish()
    with pytest.raises(errors.UpstreamFailed, match="before its message was complete"):
        ServerSentDecoder(frozenset({"z"})).finish()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'data: {"type":"error","code":"rate_limit_exceeded","message":"slow"}\n\n', errors.RateLimited),
        (b'data: {"error":{"code":"validation_error","message":"slow"}}\n\n', errors.InvalidRequest),
        (b'data: {"type":"error","message":"slow"}\n\n', errors.UpstreamFailed),
        (b'data: {"type":"error","error":{"code":"context_length_exceeded"}}\n\n', errors.ContextTooLong),
        (b'data: {"error":{"type":"rate_limit_error","code":null}}\n\n', errors.RateLimited),
        (b'data: {"error":{"code":429}}\n\n', errors.RateLimited),
        (b'data: {"error":{"code":"unsupported_parameter","type":"invalid_request_error"}}\n\n', errors.InvalidRequest),
        (b'data: {"object":"error","message":"died","code":400}\n\n', errors.InvalidRequest),
        (b'data: {"error":"boom"}\n\n', errors.UpstreamFailed),
        (b'data: {"error":{"code":"server_error"}}\n\n', errors.InternalFailure),
        (b'data: {"type":[]}\n\n', errors.UpstreamFailed),
        (b"data: <html>\n\n", errors.UpstreamFailed),
        (b"data: []\n\n", errors.UpstreamFailed),
    ],
)
def test_error_in_a_stream_is_raised_after_the_documents_before_it(
    data: bytes, kind: type[errors.GatewayError]
) -> None:
    with pytest.raises(kind):
        ServerSentDecoder().feed(data)
    decoder = ServerSentDecoder()
    assert decoder.feed(SSE + data) == [{"type": "a"}, {"type": "b"}]
    with pytest.raises(kind):
        decoder.feed(b"")
    with pytest.raises(kind):
        decoder.finish()
