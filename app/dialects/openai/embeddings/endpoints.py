"""The endpoint `POST /v1/embeddings`."""

import struct
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO

from app.adaptation.embeddings import EmbeddingCall
from app.dialects.http.documents import unknown_fields
from app.dialects.http.endpoint_spec import EndpointSpec
from app.dialects.http.request_body import read_as
from app.dialects.http.responses import JSON, Answer, CompleteResponse
from app.dialects.openai.common.errors import render_error
from app.dialects.openai.common.limit_headers import limit_headers
from app.dialects.openai.common.schemas import ERRORS
from app.dialects.openai.embeddings.inputs import inputs_of
from app.dialects.openai.embeddings.schema import EmbeddingList, EmbeddingRequest
from app.execution.embeddings import Vector, embed
from app.execution.executor import Executor
from app.execution.request_context import RequestContext
from app.process.off_loop import off_loop
from app.routing.planner import DEFAULT_ALIAS
from app.wire import json

DIALECT = "openai_embeddings"
_NUMBER_BYTES = 20  # of JSON, about
_EXAMPLES = {
    "one": {"summary": "One text", "value": {"model": "amazon.titan-embed-text-v2:0", "input": "Hello."}},
    "many": {
        "summary": "Two texts, short vectors as base64",
        "value": {
            "model": "cohere.embed-v4:0",
            "input": ["Hello.", "Bye."],
            "dimensions": 256,
            "encoding_format": "base64",
        },
    },
}


def embedding_endpoints(executor: Executor, default_model: str, prefix: str = "/v1") -> Sequence[EndpointSpec]:
    """Return the endpoint of this dialect. default_model: used if a request names no model."""
    return [
        EndpointSpec(
            method="POST",
            path=f"{prefix}/embeddings",
            dialect=DIALECT,
            handler=partial(_embed, executor, default_model),
            render_error=render_error,
            limit_headers=limit_headers,
            name="create_embedding",
            summary="Create embeddings",
            description="Turn texts and images into vectors, with Titan, Cohere, Nova or Marengo.\n\n"
            "Many texts are split into requests that run in parallel.",
            tags=("OpenAI",),
            request=EmbeddingRequest,
            response=EmbeddingList,
            responses=ERRORS,
            body_examples={"examples": _EXAMPLES},
            in_schema=prefix == "/v1",
        )
    ]


async def _embed(executor: Executor, default_model: str, context: RequestContext) -> Answer:
    request = await read_as(context, EmbeddingRequest)
    name = default_model if request.model in ("", DEFAULT_ALIAS) else request.model
    ignored = [path for path, value in unknown_fields(request) if value is not None]
    call = EmbeddingCall(name, inputs_of(request), request.dimensions, request.input_type or "", ignored)
    vectors = await embed(executor, context, call)
    spent = context.record.usage
    tokens = spent.input if spent is not None else 0
    is_hidden = name != request.model and name.startswith("arn:") and executor.planner.hides_arns
    model = DEFAULT_ALIAS if is_hidden else executor.planner.known_as(name)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    end = json.dumps({"model": model, "usage": usage})[1:]
    encode = _as_base64 if request.encoding_format == "base64" else list
    size = sum(map(len, vectors)) * _NUMBER_BYTES
    body = await off_loop(context.caller.name, size, partial(_encode, vectors, encode, end))
    return CompleteResponse(200, JSON, body)


def _encode(vectors: list[Vector], encode: Callable[[Vector], str | list[float]], end: bytes) -> bytes:
    """Encode a response vector by vector, and remove each from the list: all are held once. end: what follows them."""
    body = BytesIO()
    body.write(b'{"object":"list","data":[')
    vectors.reverse()
    for index in range(len(vectors)):
        item = {"object": "embedding", "index": index, "embedding": encode(vectors.pop())}
        body.write(b"," + json.dumps(item) if index else json.dumps(item))
    body.write(b"]," + end)
    return body.getvalue()


def _as_base64(vector: Vector) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
