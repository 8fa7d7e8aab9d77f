"""Rerank: one call of InvokeModel."""

from app.bedrock.decode import usage_of_headers
from app.bedrock.transport import HttpResponse
from app.pipeline.exchange import Exchange
from app.pipeline.run import Pipeline, read_document
from app.tailor.rerank import RerankCall, scores_of, tailor_rerank


async def rerank(pipeline: Pipeline, exchange: Exchange, call: RerankCall) -> list[tuple[int, float]]:
    """Index and score of each document that was kept, the best first.

    Raises:
        GatewayError: whatever went wrong.
    """
    target = pipeline.planner.plan(call.model)
    body = tailor_rerank(call, target.traits)
    request = pipeline.native_request(exchange, call.model, target, body, "invoke")

    async def take(response: HttpResponse) -> list[tuple[int, float]]:
        document = await read_document(response)
        exchange.record.usage = usage_of_headers(response.headers)
        return scores_of(document, call)

    return await pipeline.send(exchange, request, take)
