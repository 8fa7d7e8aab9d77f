"""Answers of InvokeModel in Anthropic's own format: passed on, under the caller's name for the model.

Bedrock's own members (`amazon-bedrock-*`) are taken off, and counts of the cache that
only its last event tells are put where Anthropic's clients look for them. An event without any of these is passed on
as it came, byte for byte.

Source: docs/reference/contracts/anthropic-on-invokemodel.md#reply-differences
"""

from typing import Any

from app.converse.call import NativeEvent
from app.converse.usage import Usage
from app.dialects.anthropic.errors import error_body, error_of
from app.dialects.anthropic.response_context import MessageResponseContext
from app.dialects.anthropic.stream import PING
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.sse import named_frame

_OWN = "amazon-bedrock-"
_METRICS = f"{_OWN}invocationMetrics"
_MAY_PASS = frozenset({"content_block_start", "content_block_delta", "content_block_stop", "ping"})
# the members that these have had so far: to find nothing more is quicker than to look for Bedrock's own
_USUAL: dict[Any, set[str]] = {
    "content_block_start": {"type", "index", "content_block"},
    "content_block_delta": {"type", "index", "delta"},
    "content_block_stop": {"type", "index"},
}
_LF, _CR = b"\n\r"
_CACHE_COUNTS = {
    "cache_read_input_tokens": "cacheReadInputTokenCount",
    "cache_creation_input_tokens": "cacheWriteInputTokenCount",
}
_COUNTS = {**_CACHE_COUNTS, "input_tokens": "inputTokenCount", "output_tokens": "outputTokenCount"}


class UsageOfMessages:
    """Reads the tokens that a message, or the events of one, tell of; the last word on each count holds.

    What only Bedrock's metrics tell, which end a stream, is heard too. The event that begins a message
    cannot know how long it will be.

    Source: docs/reference/contracts/anthropic-on-invokemodel.md#reply-differences
    """

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        self._is_final = False

    def __call__(self, document: dict[str, Any]) -> Usage | None:
        """The tokens so far, or nothing where a document tells of none."""
        message, metrics = document.get("message"), document.get(_METRICS)
        whole = message if isinstance(message, dict) else document
        usage = whole.get("usage")
        if isinstance(usage, dict):
            # rounds are listed as a whole, or not at all
            self._told.pop("iterations", None)
            self._told |= {name: told for name, told in usage.items() if isinstance(told, (int, dict, list))}
            self._is_final = whole is document
        elif isinstance(metrics, dict) and self._told:
            counts = {name: metrics[theirs] for name, theirs in _COUNTS.items() if theirs in metrics}
            if self._is_final:
                counts = {name: count for name, count in counts.items() if not self._told.get(name)}
            self._told |= counts
            self._is_final = self._is_final or "output_tokens" in counts
        else:
            return None
        return Usage.of_message(self._told, is_final=self._is_final)


def from_document(document: dict[str, Any], response_context: MessageResponseContext) -> dict[str, Any]:
    """The message as its caller knows it.

    Raises:
        UpstreamFailed: it is none.
    """
    if document.get("type") != "message":
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no message")
    passed_on = _without_own(document)
    passed_on["model"] = response_context.model
    return passed_on


class NativeStream:
    """Passes one stream on."""

    def __init__(self, response_context: MessageResponseContext) -> None:
        self._response_context = response_context
        self._held: dict[str, Any] | None = None

    def from_event(self, event: NativeEvent) -> bytes:
        """The frames for one of Anthropic's events; only `message_delta` waits, for the event behind it."""
        document, text = event.document, event.text
        kind = document.get("type")
        before = b"" if self._held is None else self._release(document.get(_METRICS) or {})
        if document.keys() != _USUAL.get(kind):
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
        """The end of a stream that ended well."""
        return self._release({})

    def fail(self, error: GatewayError) -> bytes:
        """The end of a stream that broke."""
        return named_frame("error", error_body(error, self._response_context.request_id))

    def _release(self, metrics: dict[str, Any]) -> bytes:
        if self._held is None:
            return b""
        document, self._held = self._held, None
        counts = {name: metrics[theirs] for name, theirs in _CACHE_COUNTS.items() if theirs in metrics}
        return _frame({**document, "usage": {**counts, **(document.get("usage") or {})}})


def _without_own(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if not name.startswith(_OWN)}


def _frame(document: dict[str, Any]) -> bytes:
    kind = document["type"]
    if not isinstance(kind, str) or not kind.isidentifier():
        raise TypeError
    return named_frame(kind, json.dumps(document))
