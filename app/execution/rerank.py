"""Rerank: one call of InvokeModel."""

from functools import partial

from app.adaptation.rerank import RerankCall, adapt_rerank, scores_of
from app.bedrock.reported_usage import usage_of_headers
from app.bedrock.transport import HttpResponse
from app.converse.usage import Usage
from app.execution.attempt import fold_ignored
from app.execution.executor import Executor
from app.execution.operations.invoke import InvokeOperation
from app.execution.request_context import RequestContext
from app.routing.planner import Target
from app.wire import json
from app.wire.json import JsonObject


async def rerank(executor: Executor, context: RequestContext, call: RerankCall) -> list[tuple[int, float]]:
    """Return the index and the score of each document that was kept, the best first.

    Raises:
        GatewayError: as `Executor.run` does.
    """

    def operation_for(target: Target) -> InvokeOperation[list[tuple[int, float]]]:
        return InvokeOperation(
            body=json.dumps(adapt_rerank(call, target.capabilities)),
            usage_of=_usage_of,
            make=partial(scores_of, call=call),
            ignored=call.ignored,
            is_checked=True,
        )

    fold_ignored(context.record, call.ignored)
    await executor.check_texts(context, [call.query, *call.documents])
    return await executor.run(context, call.model, operation_for)


def _usage_of(response: HttpResponse, _: JsonObject) -> Usage | None:
    return usage_of_headers(response.headers)
