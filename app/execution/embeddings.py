"""Embeddings: as many calls of InvokeModel as the model's family needs, a bounded number at a time."""

from __future__ import annotations

import asyncio
from array import array
from functools import partial
from typing import TypeAlias

from app.adaptation.embeddings import EmbeddingCall, MixedInput, adapt_embeddings, vectors_of
from app.bedrock.reported_usage import usage_of_headers
from app.bedrock.transport import HttpResponse
from app.converse.usage import Usage, count_in
from app.errors import InvalidRequest
from app.execution.attempt import fold_ignored, fold_usage
from app.execution.executor import Executor
from app.execution.operations.invoke import InvokeOperation
from app.execution.operations.operation import malformed
from app.execution.request_context import RequestContext
from app.routing.planner import Target
from app.wire import json
from app.wire.json import JsonObject

# a list would take four times the memory
Vector: TypeAlias = "array[float]"

_MAX_CONCURRENT = 8


def _compact_vectors_of(document: JsonObject) -> list[Vector]:
    return [array("d", vector) for vector in vectors_of(document)]


class _Tokens:
    """The tokens of several upstream calls that answer one request."""

    def __init__(self, calls: int) -> None:
        self._calls_left = calls
        self._count = 0
        self._models: set[str] = set()
        self._are_known = True

    def add(self, model: str, response: HttpResponse, document: JsonObject) -> Usage | None:
        """Add the tokens of one response of a model, and return them."""
        counted = usage_of_headers(response.headers)
        count = counted.input if counted is not None else count_in(document, "inputTextTokenCount")
        self._calls_left -= 1
        self._count += count
        self._models.add(model)
        self._are_known = self._are_known and count > 0
        return Usage(input=count) if count else None

    @property
    def usage(self) -> Usage | None:
        """The tokens so far; None before the first response.

        They are not final while responses are missing, if a response reported none, or if several models share them,
        since each model has its own price.
        """
        is_final = self._are_known and not self._calls_left and len(self._models) == 1
        return Usage(input=self._count, is_final=is_final) if self._models else None


async def embed(executor: Executor, context: RequestContext, call: EmbeddingCall) -> list[Vector]:
    """Return the vectors of a call's inputs, in their order; the log record gets the tokens of all of them.

    Raises:
        GatewayError: the first failure of an upstream call; the others are then cancelled.
    """
    fold_ignored(context.record, call.ignored)
    planned = await executor.plan(call.model, context.caller)
    # vectors of several models cannot be compared, not even those of one answer
    targets = [target for target in planned if target.model_behind.base == planned[0].model_behind.base]
    adapted = adapt_embeddings(call, targets[0].capabilities)
    ignored = [*call.ignored, *adapted.ignored]
    fold_ignored(context.record, ignored)
    if executor.check_for(context.caller) is not None and any(isinstance(each, MixedInput) for each in call.inputs):
        raise InvalidRequest("the guardrail of this deployment does not see media of embeddings", param="input")
    await executor.check_texts(context, call.texts)
    permits = asyncio.Semaphore(_MAX_CONCURRENT)
    tokens = _Tokens(len(adapted.bodies))

    async def embed_one(body: JsonObject) -> list[Vector]:
        def operation_for(target: Target) -> InvokeOperation[list[Vector]]:
            return InvokeOperation(
                body=json.dumps(body),
                usage_of=partial(tokens.add, target.model.raw),
                make=_compact_vectors_of,
                ignored=ignored,
                is_checked=True,
            )

        async with permits:
            return await executor.run(context, call.model, operation_for, targets)

    # while a breaker is open, the first call is a probe: the others wait for its outcome
    is_alone = not executor.failover.breakers.are_closed
    tasks: list[asyncio.Task[list[Vector]]] = []
    try:
        first = [await embed_one(adapted.bodies[0])] if is_alone else []
        tasks += [asyncio.create_task(embed_one(body)) for body in adapted.bodies[len(first) :]]
        answers = [*first, *await asyncio.gather(*tasks)]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        fold_usage(context.record, tokens.usage)
    vectors = [vector for answer in answers for vector in answer]
    if len(vectors) != len(call.inputs):
        raise malformed("as many vectors as inputs were expected")
    return vectors
