"""Passes responses of InvokeModel in Anthropic's own format to the caller.

The model gets the caller's name for it. Bedrock's own members (`amazon-bedrock-*`) are removed. Counts of cached tokens
that only Bedrock's last event holds move to where Anthropic's clients read them. Other events pass byte for byte.

Source: docs/reference/contracts/anthropic-on-invokemodel.md#reply-differences
"""

from app.converse.call import NativeEvent
from app.converse.usage import Usage
from app.dialects.anthropic.errors import error_body, error_of
from app.dialects.anthropic.response_context import MessageResponseContext
from app.dialects.anthropic.stream import PING
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject
from app.wire.sse import named_frame

_OWN = "amazon-bedrock-"
_METRICS = f"{_OWN}invocationMetrics"
_MAY_PASS = frozenset({"content_block_start", "content_block_delta", "content_block_stop", "ping"})
# the usual members of events and of a message: comparing them is faster than searching for Bedrock's own
_USUAL: dict[object, set[str]] = {
    "content_block_start": {"type", "index", "content_block"},
    "content_block_delta": {"type", "index", "delta"},
    "content_block_stop": {"type", "index"},
}
_MESSAGE = {
    *("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage", "container"),
    "context_management",
}
_LF, _CR = b"\n\r"
_CACHE_COUNTS = {
    "cache_read_input_tokens": "cacheReadInputTokenCount",
    "cache_creation_input_tokens": "cacheWriteInputTokenCount",
}
_COUNTS = {**_CACHE_COUNTS, "input_tokens": "inputTokenCount", "output_tokens": "outputTokenCount"}


class UsageOfMessages:
    """Reads the tokens from a message, or from the events of one; the last value of each count is valid.

    Counts that only Bedrock's metrics hold, at the end of a stream, are read too. The first event of a message does not
    know the output's length.

    Source: docs/reference/contracts/anthropic-on-invokemodel.md#reply-differences
    """

    def __init__(self) -> None:
        self._counts: JsonObject = {}
        self._is_final = False

    def __call__(self, document: JsonObject) -> Usage | None:
        """Return the tokens so far; None if a document holds no count."""
        if document.get("type") == "message":  # complete: it has no earlier counts
            usage = document.get("usage")
            return Usage.of_message(usage) if isinstance(usage, dict) else None
        message, metrics = document.get("message"), document.get(_METRICS)
        holder = message if isinstance(message, dict) else document
        usage = holder.get("usage")
        if isinstance(usage, dict):
            # a list of rounds replaces the one before it
            self._counts.pop("iterations", None)
            self._counts |= {name: count for name, count in usage.items() if isinstance(count, (int, dict, list))}
            self._is_final = holder is document
        elif isinstance(metrics, dict) and self._counts:
            counts = {name: metrics[theirs] for name, theirs in _COUNTS.items() if theirs in metrics}
            if self._is_final:
                counts = {name: count for name, count in counts.items() if not self._counts.get(name)}
            self._counts |= counts
            self._is_final = self._is_final or "output_tokens" in counts
        else:
            return None
        return Usage.of_message(self._counts, is_final=self._is_final)


def from_document(document: JsonObject, response_context: MessageResponseContext) -> JsonObject:
    """Return the message with the caller's name for the model.

    Raises:
        UpstreamFailed: the document is not a message.
    """
    if document.get("type") != "message":
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no message")
    passed_on = document if document.keys() <= _MESSAGE else _without_own(document)
    return {**passed_on, "model": response_context.model}


class NativeStream:
    """Passes one stream to the caller."""

    def __init__(self, response_context: MessageResponseContext) -> None:
        self._response_context = response_context
        self._held: JsonObject | None = None

    def from_event(self, event: NativeEvent) -> bytes:
        """Return the frames for an event. `message_delta` is held until the next event, which may hold its counts."""
        document, text = event.document, event.text
        kind = document["type"]
        is_usual = document.keys() == _USUAL.get(kind)
        if is_usual and self._held is None and _LF not in text and _CR not in text:
            return named_frame(kind, text)  # nearly always
        before = b"" if self._held is None else self._release(document.get(_METRICS) or {})
        if not is_usual:
            document = _without_own(document)
        if kind in _MAY_PASS and len(document) == len(event.document) and _LF not in text and _CR not in text:
            return before + named_frame(kind, text)
        match kind:
            case "message_start":
                message = {**document["message"], "model": self._response_context.model}
                return before + _frame({**document, "message": message}) + PING
            case "message_delta":
                self._held = document
                return before
            case "error":
                raise error_of(document)
            case _:
                return before + _frame(document)

    def finish(self) -> bytes:
        """Return the end of a stream that succeeded."""
        return self._release({})

    def fail(self, error: GatewayError) -> bytes:
        """Return the end of a stream that failed."""
        return named_frame("error", error_body(error, self._response_context.request_id))

    def _release(self, metrics: JsonObject) -> bytes:
        if self._held is None:
            return b""
        document, self._held = self._held, None
        counts = {name: metrics[theirs] for name, theirs in _CACHE_COUNTS.items() if theirs in metrics}
        return _frame({**document, "usage": {**counts, **(document.get("usage") or {})}})


def _without_own(document: JsonObject) -> JsonObject:
    return {name: value for name, value in document.items() if not name.startswith(_OWN)}


def _frame(document: JsonObject) -> bytes:
    kind = document["type"]
    if not isinstance(kind, str) or not kind.isidentifier():
        raise TypeError
    return named_frame(kind, json.dumps(document))
