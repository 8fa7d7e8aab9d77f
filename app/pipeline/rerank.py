"""Rerank: one call of InvokeModel."""

from app.bedrock.decode import usage_of_headers
from app.kit.values import replace
from app.pipeline import ways
from app.pipeline.exchange import Exchange
from app.pipeline.run import Pipeline
from app.pipeline.ways import Way
from app.routing.plan import Target
from app.tailor.rerank import RerankCall, scores_of, tailor_rerank


async def rerank(pipeline: Pipeline, exchange: Exchange, call: RerankCall) -> list[tuple[int, float]]:
    """Index and score of each document that was kept, the best first.

    Raises:
        GatewayError: whatever went wrong.
    """

    def way_to(target: Target) -> Way[list[tuple[int, float]]]:
        way = ways.invoke(
            tailor_rerank(call, target.traits), lambda answer, _: usage_of_headers(answer.headers), exchange.record
        )
        return replace(way, is_checked=True).then(lambda document: scores_of(document, call))

    await pipeline.check(exchange, [call.query, *call.documents])
    return await pipeline.run(exchange, call.model, way_to)
