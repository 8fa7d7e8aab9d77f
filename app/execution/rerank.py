"""Rerank: one call of InvokeModel."""

from msgspec.structs import replace

from app.adaptation.rerank import RerankCall, adapt_rerank, scores_of
from app.bedrock.stream_decoding import usage_of_headers
from app.execution.executor import Pipeline
from app.execution.operations import operation as operations
from app.execution.operations.operation import Operation
from app.execution.request_context import RequestContext
from app.routing.planner import Target


async def rerank(pipeline: Pipeline, context: RequestContext, call: RerankCall) -> list[tuple[int, float]]:
    """Index and score of each document that was kept, the best first.

    Raises:
        GatewayError: whatever went wrong.
    """

    def operation_for(target: Target) -> Operation[list[tuple[int, float]]]:
        operation = operations.invoke(
            adapt_rerank(call, target.capabilities), lambda answer, _: usage_of_headers(answer.headers), context.record
        )
        return replace(operation, is_checked=True).then(lambda document: scores_of(document, call))

    await pipeline.check(context, [call.query, *call.documents])
    return await pipeline.run(context, call.model, operation_for)
