"""Between the pipeline's batches and the bytes of an answer, for every dialect."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from app.dialects.envelopes import Headers
from app.errors import GatewayError, UpstreamFailed
from app.kit import sse

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


async def frames(
    batches: AsyncGenerator[list[Item], None], translate: Callable[[Item], bytes], finish: Callable[[], bytes]
) -> AsyncGenerator[bytes, None]:
    """The bytes for each batch that says something, and those that end a stream which ended well.

    What makes no sense in the middle of a batch is raised behind what was good before it: where the reads of a stream
    were split is chance.
    """
    async with aclosing(batches):
        async for batch in batches:
            translated: list[bytes] = []
            failure = None
            try:
                for item in batch:
                    translated.append(translate(item))
            except GatewayError as error:
                failure = error
            except _ODD as error:
                failure = _no_sense(error)
            if said := b"".join(translated):
                yield said
            if failure is not None:
                raise failure
    if last := finish():
        yield last
