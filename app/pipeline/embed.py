"""Embeddings: as many calls of InvokeModel as the model's family needs, side by side within a bound."""

import asyncio
from typing import Any

from app.bedrock.decode import usage_of_headers
from app.bedrock.transport import HttpResponse
from app.converse.usage import Usage
from app.errors import UpstreamFailed
from app.pipeline.exchange import Exchange
from app.pipeline.run import Pipeline, read_document
from app.tailor.embeddings import EmbeddingCall, tailor_embeddings, vectors_of

_AT_ONCE = 8


async def embed(pipeline: Pipeline, exchange: Exchange, call: EmbeddingCall) -> list[list[float]]:
    """The vectors of a call's texts, in their order; the tokens of all of them are in the exchange's record.

    Raises:
        GatewayError: whatever went wrong with one of the calls; the others are then given up.
    """
    target = pipeline.planner.plan(call.model)
    draft = tailor_embeddings(call, target.traits)
    exchange.record.ignored += draft.ignored
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(body: dict[str, Any]) -> tuple[list[list[float]], int]:
        request = pipeline.native_request(exchange, call.model, target, body, "invoke")

        async def take(response: HttpResponse) -> tuple[list[list[float]], int]:
            document = await read_document(response)
            counted = usage_of_headers(response.headers)
            tokens = counted.input if counted is not None else document.get("inputTextTokenCount") or 0
            return vectors_of(document), tokens

        async with places:
            return await pipeline.send(exchange, request, take)

    tasks = [asyncio.create_task(one(body)) for body in draft.bodies]
    try:
        answers = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    exchange.record.usage = Usage(input=sum(tokens for _, tokens in answers))
    vectors = [vector for made, _ in answers for vector in made]
    if len(vectors) != len(call.texts):
        raise UpstreamFailed("Bedrock's reply made no sense", detail="as many vectors as texts were expected")
    return vectors
