"""Between the pipeline's batches and the bytes of an answer, for every dialect."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar

from app.dialects.envelopes import Headers
from app.errors import UpstreamFailed
from app.kit import sse

Batch = TypeVar("Batch")

SSE: Headers = (("content-type", sse.CONTENT_TYPE), ("cache-control", "no-cache"), ("x-accel-buffering", "no"))


@contextmanager
def understanding() -> Iterator[None]:
    """What is not as Bedrock's service model says it is Bedrock's failure, not ours."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UpstreamFailed("Bedrock's reply made no sense", detail=type(error).__name__) from None


async def frames(
    batches: AsyncGenerator[Batch, None], translate: Callable[[Batch], bytes], finish: Callable[[], bytes]
) -> AsyncGenerator[bytes, None]:
    """The bytes for each batch that says something, and those that end a stream which ended well."""
    async with aclosing(batches):
        async for batch in batches:
            with understanding():
                translated = translate(batch)
            if translated:
                yield translated
    if last := finish():
        yield last
