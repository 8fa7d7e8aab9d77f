"""Between the pipeline's batches and the bytes of an answer, for every dialect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.dialects.http.responses import Headers
from app.errors import GatewayError, UpstreamFailed
from app.wire import sse

Batch = TypeVar("Batch")
Item = TypeVar("Item")
Made = TypeVar("Made")

SSE: Headers = (("content-type", sse.CONTENT_TYPE), ("cache-control", "no-cache"), ("x-accel-buffering", "no"))


# what is raised where something is not as Bedrock's service model says it is: Bedrock's failure, not ours
_ODD = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


def _no_sense(error: BaseException) -> UpstreamFailed:
    return UpstreamFailed("Bedrock's reply made no sense", detail=type(error).__name__)


def understood(make: Callable[[Batch], Made]) -> Callable[[Batch], Made]:
    """The same function; what it does not find where Bedrock should have put it is Bedrock's failure."""

    def made(answer: Batch) -> Made:
        try:
            return make(answer)
        except _ODD as error:
            raise _no_sense(error) from None

    return made


def in_batches(translate: Callable[[Item], bytes]) -> Callable[[list[Item]], tuple[bytes, GatewayError | None]]:
    """The same function for a batch, and what of that makes no sense behind what was good: where the reads of a stream
    were split is chance.
    """

    def translated(batch: list[Item]) -> tuple[bytes, GatewayError | None]:
        said: list[bytes] = []
        failure = None
        try:
            for item in batch:
                said.append(translate(item))
        except GatewayError as error:
            failure = error
        except _ODD as error:
            failure = _no_sense(error)
        return b"".join(said), failure

    return translated


def at_once(finish: Callable[[], bytes]) -> Callable[[], Awaitable[bytes]]:
    """The same function, for whom nothing has to be waited."""

    async def finished() -> bytes:
        return finish()

    return finished
