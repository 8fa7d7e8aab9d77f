"""Embeddings: as many calls of InvokeModel as the model's family needs, side by side within a bound."""

import asyncio
from typing import Any

from app.bedrock.decode import usage_of_headers
from app.bedrock.transport import HttpResponse
from app.converse.usage import Usage
from app.errors import UpstreamFailed
from app.kit.values import replace
from app.pipeline import ways
from app.pipeline.exchange import Exchange
from app.pipeline.run import Pipeline
from app.tailor.embeddings import EmbeddingCall, tailor_embeddings, vectors_of

_AT_ONCE = 8


async def embed(pipeline: Pipeline, exchange: Exchange, call: EmbeddingCall) -> list[list[float]]:
    """The vectors of a call's texts, in their order; the tokens of all of them are in the exchange's record.

    Raises:
        GatewayError: whatever went wrong with one of the calls; the others are then given up.
    """
    planned = await pipeline.plan(call.model)
    # vectors of several models cannot be compared, not even those of one answer
    targets = [target for target in planned if target.known.base == planned[0].known.base]
    draft = tailor_embeddings(call, targets[0].traits)
    exchange.record.ignored += draft.ignored
    await pipeline.check(exchange, call.texts)
    places = asyncio.Semaphore(_AT_ONCE)
    spent = 0

    async def one(body: dict[str, Any]) -> list[list[float]]:
        way = replace(ways.invoke(body, usage_of, exchange.record), is_checked=True).then(vectors_of)
        async with places:
            return await pipeline.run(exchange, call.model, lambda _: way, targets)

    def usage_of(response: HttpResponse, document: dict[str, Any]) -> Usage:
        nonlocal spent
        counted = usage_of_headers(response.headers)
        spent += counted.input if counted is not None else document.get("inputTextTokenCount") or 0
        return Usage(input=spent)

    # where a target is only probed, the first call tells whether there can be others
    is_alone = not pipeline.failover.breakers.are_closed
    begun = [await one(draft.bodies[0])] if is_alone else []
    tasks = [asyncio.create_task(one(body)) for body in draft.bodies[len(begun) :]]
    try:
        answers = [*begun, *await asyncio.gather(*tasks)]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    vectors = [vector for made in answers for vector in made]
    if len(vectors) != len(call.texts):
        raise UpstreamFailed("Bedrock's reply made no sense", detail="as many vectors as texts were expected")
    return vectors
