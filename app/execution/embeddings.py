"""Embeddings: as many calls of InvokeModel as the model's family needs, side by side within a bound."""

import asyncio
from functools import partial
from typing import Any

from msgspec.structs import replace

from app.adaptation.embeddings import EmbeddingCall, adapt_embeddings, vectors_of
from app.bedrock.stream_decoding import usage_of_headers
from app.bedrock.transport import HttpResponse
from app.converse.usage import Usage, count_in
from app.errors import UpstreamFailed
from app.execution.executor import Pipeline
from app.execution.operations import operation as operations
from app.execution.operations.operation import Operation
from app.execution.request_context import RequestContext
from app.routing.planner import Target

_AT_ONCE = 8


class _Spent:
    """What the calls for one list of texts took together."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self._tokens = 0
        self._models: set[str] = set()
        self._is_known = True

    def add(self, model: str, response: HttpResponse, document: dict[str, Any]) -> Usage | None:
        """The tokens so far, those of one more answer of a model included."""
        counted = usage_of_headers(response.headers)
        tokens = counted.input if counted is not None else count_in(document, "inputTextTokenCount")
        self._left -= 1
        self._tokens += tokens
        self._models.add(model)
        self._is_known = self._is_known and tokens > 0
        return self.usage

    @property
    def usage(self) -> Usage | None:
        """The tokens so far, if any answer has come.

        They are not final while some are missing, where an answer told of none, and where several models share them, at
        prices of their own.
        """
        is_final = self._is_known and not self._left and len(self._models) == 1
        return Usage(input=self._tokens, is_final=is_final) if self._models else None


async def embed(pipeline: Pipeline, context: RequestContext, call: EmbeddingCall) -> list[list[float]]:
    """The vectors of a call's texts, in their order; the tokens of all of them are in the exchange's record.

    Raises:
        GatewayError: whatever went wrong with one of the calls; the others are then given up.
    """
    planned = await pipeline.plan(call.model)
    # vectors of several models cannot be compared, not even those of one answer
    targets = [target for target in planned if target.known.base == planned[0].known.base]
    adapted = adapt_embeddings(call, targets[0].capabilities)
    context.record.ignored += adapted.ignored
    await pipeline.check(context, call.texts)
    locations = asyncio.Semaphore(_AT_ONCE)
    spent = _Spent(len(adapted.bodies))

    async def one(body: dict[str, Any]) -> list[list[float]]:
        def operation_for(target: Target) -> Operation[list[list[float]]]:
            operation = operations.invoke(body, partial(spent.add, target.model.raw), context.record)
            return replace(operation, is_checked=True).then(vectors_of)

        async with locations:
            return await pipeline.run(context, call.model, operation_for, targets)

    # where a target is only probed, the first call tells whether there can be others
    is_alone = not pipeline.failover.breakers.are_closed
    tasks: list[asyncio.Task[list[list[float]]]] = []
    try:
        begun = [await one(adapted.bodies[0])] if is_alone else []
        tasks += [asyncio.create_task(one(body)) for body in adapted.bodies[len(begun) :]]
        answers = [*begun, *await asyncio.gather(*tasks)]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        context.record.usage = spent.usage
    vectors = [vector for made in answers for vector in made]
    if len(vectors) != len(call.texts):
        raise UpstreamFailed("Bedrock's reply made no sense", detail="as many vectors as texts were expected")
    return vectors
