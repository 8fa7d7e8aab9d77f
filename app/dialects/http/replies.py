"""Turns what the upstream sent into bytes for the caller; malformed data is the upstream's failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from app.dialects.http.responses import Headers
from app.errors import GatewayError, UpstreamFailed
from app.wire import sse

Received = TypeVar("Received")
Made = TypeVar("Made")

SSE: Headers = (("content-type", sse.CONTENT_TYPE), ("cache-control", "no-cache"), ("x-accel-buffering", "no"))


# raised where a document is not as Bedrock's service model says
MALFORMED_DATA = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


def malformed(error: BaseException) -> UpstreamFailed:
    """Return the error for data that could not be translated."""
    return UpstreamFailed("Bedrock's reply made no sense", detail=type(error).__name__)


def understood(translate: Callable[[Received], Made]) -> Callable[[Received], Made]:
    """Return `translate`, raising UpstreamFailed where it fails on malformed data."""

    def translated(received: Received) -> Made:
        try:
            return translate(received)
        except MALFORMED_DATA as error:
            raise malformed(error) from None

    return translated


def translate_batch(translate: Callable[[Received], bytes], batch: list[Received]) -> tuple[bytes, GatewayError | None]:
    """Translate the items of a batch. Returns the bytes of those before the first error, and the error, if any."""
    said: list[bytes] = []
    failure = None
    try:
        for item in batch:
            said.append(translate(item))
    except GatewayError as error:
        failure = error
    except MALFORMED_DATA as error:
        failure = malformed(error)
    return b"".join(said), failure
