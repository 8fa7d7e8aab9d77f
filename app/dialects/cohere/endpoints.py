"""The endpoint `POST /v1/rerank`, and `/v2/rerank` for Cohere's newer clients."""

import math
from collections.abc import Sequence
from functools import partial

from app.adaptation.rerank import RerankCall
from app.dialects.cohere.schema import DocumentIn, RerankError, RerankOut, RerankRequest
from app.dialects.http import identifiers as ids
from app.dialects.http.documents import unknown_fields
from app.dialects.http.endpoint_spec import ERROR_DESCRIPTIONS, EndpointSpec, error_responses
from app.dialects.http.request_body import read_as
from app.dialects.http.responses import JSON, Answer, CompleteResponse, retry_after
from app.errors import GatewayError
from app.execution.executor import Executor
from app.execution.request_context import RequestContext
from app.execution.rerank import rerank
from app.wire import json
from app.wire.json import JsonObject

DIALECT = "cohere_rerank"
_SEARCH_UNIT = 100  # documents of one search unit, which Bedrock charges
_EXAMPLES = {
    "plain": {
        "summary": "Which of these answers it",
        "value": {
            "model": "cohere.rerank-v3-5:0",
            "query": "What is the capital of Switzerland?",
            "documents": ["Zurich is the largest city.", "Bern is the capital of Switzerland."],
            "top_n": 1,
        },
    }
}
_ERRORS = error_responses(
    RerankError, {**ERROR_DESCRIPTIONS, 400: "The request cannot be carried out; the message names the field."}
)


def rerank_endpoints(executor: Executor) -> Sequence[EndpointSpec]:
    """Return the endpoints of this dialect."""
    return [
        EndpointSpec(
            method="POST",
            path=f"/v{version}/rerank",
            dialect=DIALECT,
            handler=partial(_rerank, executor, version),
            render_error=render_error,
            name="create_rerank",
            summary="Rerank documents",
            description="Sort documents by their relevance to a query, with Cohere Rerank or Amazon Rerank.",
            tags=("Cohere",),
            request=RerankRequest,
            response=RerankOut,
            responses=_ERRORS,
            body_examples={"examples": _EXAMPLES},
            in_schema=version == "1",
        )
        for version in ("1", "2")
    ]


def render_error(error: GatewayError, _request_id: str) -> CompleteResponse:
    """Return the response for an error: `{"message": …}`, which names the field that is wrong."""
    names_it = error.param is None or error.message.startswith(error.param)
    message = error.message if names_it else f"{error.param}: {error.message}"
    return CompleteResponse(error.status, (*JSON, *retry_after(error)), json.dumps({"message": message}))


async def _rerank(executor: Executor, version: str, context: RequestContext) -> Answer:
    request = await read_as(context, RerankRequest)
    ignored = [path for path, value in unknown_fields(request) if value is not None]
    texts = [each.text if isinstance(each, DocumentIn) else each for each in request.documents]
    call = RerankCall(request.model, request.query, texts, request.top_n, ignored)
    scores = await rerank(executor, context, call)
    results: list[JsonObject] = [{"index": index, "relevance_score": score} for index, score in scores]
    if request.return_documents:
        results = [{**each, "document": {"text": texts[each["index"]]}} for each in results]
    units = math.ceil(len(texts) / _SEARCH_UNIT)
    meta = {"api_version": {"version": version}, "billed_units": {"search_units": units}}
    return CompleteResponse(200, JSON, json.dumps({"id": ids.new_id("rerank-"), "results": results, "meta": meta}))
