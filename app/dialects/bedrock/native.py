"""A caller's own request to Bedrock, and Bedrock's answer, byte for byte."""

from app.bedrock.client import BedrockRequest
from app.converse.usage import Usage
from app.dialects.bedrock.errors import end_to_end, exception_frame
from app.dialects.bedrock.operations import Operation
from app.dialects.envelopes import Answer, Streamed, Whole
from app.errors import GatewayError
from app.kit import json
from app.pipeline.exchange import Exchange
from app.pipeline.run import Forwarded, Pipeline

_REQUEST_HEADERS = frozenset({"accept", "content-type"})
_REQUEST_PREFIX = "x-amzn-bedrock-"


async def forward(operation: Operation, pipeline: Pipeline, exchange: Exchange) -> Answer:
    """Send the request on, and answer with what comes."""
    record = exchange.record
    record.lane, record.surface = "identity", operation.surface or operation.service
    record.model = record.target = exchange.params.get("modelId", "")
    request = BedrockRequest(
        operation.service,
        operation.method,
        exchange.head.path,
        exchange.head.query,
        tuple(header for header in exchange.head.headers if is_forwarded(header[0])),
        exchange.body,
    )
    if not operation.is_streamed:
        forwarded = await pipeline.forward(exchange, request)
        record.usage = usage_of(operation, forwarded)
        return Whole(forwarded.status, end_to_end(forwarded.headers), forwarded.body)
    stream = await pipeline.forward_stream(exchange, request)

    def fail(error: GatewayError) -> bytes | None:
        return exception_frame(error) if stream.tap.is_at_boundary else None

    return Streamed(stream.status, end_to_end(stream.headers), stream.chunks, fail)


def is_forwarded(name: str) -> bool:
    """True for a header of the caller that Bedrock must see; its credentials and connection are ours alone."""
    return name in _REQUEST_HEADERS or name.startswith(_REQUEST_PREFIX)


def usage_of(operation: Operation, answer: Forwarded) -> Usage | None:
    """The tokens that a whole answer tells of, if it does.

    InvokeModel tells them in headers, which every recorded answer of it has; Converse in its body.
    """
    if operation.usage_in == "headers":
        counts = {name: value for name, value in answer.headers if name.endswith("-token-count") and value.isdigit()}
        if not counts:
            return None
        prefix = "x-amzn-bedrock-"
        return Usage(
            input=int(counts.get(f"{prefix}input-token-count", 0)),
            output=int(counts.get(f"{prefix}output-token-count", 0)),
            cache_read=int(counts.get(f"{prefix}cache-read-input-token-count", 0)),
            cache_write=int(counts.get(f"{prefix}cache-write-input-token-count", 0)),
        )
    if operation.usage_in == "body":
        try:
            return Usage.of(json.loads(answer.body)["usage"])
        except (json.JsonError, KeyError, TypeError, AttributeError):
            return None
    return None
