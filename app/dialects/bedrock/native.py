"""A caller's own request to Bedrock, and Bedrock's answer, byte for byte."""

import contextlib
from functools import partial
from urllib.parse import unquote

from msgspec.structs import replace

from app.bedrock.client import BedrockRequest
from app.bedrock.stream_decoding import tier_of_headers, usage_of_headers
from app.converse.usage import Usage, tier_of
from app.dialects.bedrock.errors import end_to_end, exception_frame
from app.dialects.bedrock.operations import Operation
from app.dialects.http.responses import Answer, CompleteResponse, StreamingResponse
from app.errors import GatewayError, InvalidRequest, NotFound
from app.execution.executor import Pipeline
from app.execution.operations.operation import Forwarded, take_forwarded, take_forwarded_stream
from app.execution.request_context import RequestContext
from app.models.ids import ModelId, is_model_name, parse_model_id
from app.process.off_loop import off_loop
from app.wire import json
from app.wire.sigv4 import spelt_as_signed

_REQUEST_HEADERS = frozenset({"accept", "content-type"})
_REQUEST_PREFIX = "x-amzn-bedrock-"


async def forward(operation: Operation, pipeline: Pipeline, context: RequestContext) -> Answer:
    """Send the request on, and answer with what comes.

    Raises:
        GatewayError: as `Pipeline.forward` does; InvalidRequest or NotFound for a path that would lead elsewhere.
    """
    record = context.record
    _check_path(operation, context.head.path)
    record.mode, record.surface = "passthrough", operation.surface or operation.service
    name = context.params.get("modelId", "")
    if is_model_name(name):
        record.model = record.target = name
    request = BedrockRequest(
        operation.service,
        operation.method,
        context.head.path,
        spelt_as_signed(context.head.query),
        _forwarded_headers(context.head.headers),
        context.body,
    )

    def ask(model: ModelId) -> BedrockRequest:
        # tokens are counted by base id only
        called = parse_model_id(model.base) if operation.name == "CountTokens" else model
        return replace(request, path=_renamed(request.path, called))

    wanted = await off_loop(context.size, partial(_tier_wanted, operation, context))
    if not operation.is_streamed:
        forwarded = await pipeline.forward(context, request, name, ask, take_forwarded)
        record.usage, record.tier = told_by(operation, forwarded)
        record.tier = record.tier or wanted
        return CompleteResponse(forwarded.status, end_to_end(forwarded.headers), forwarded.body)
    record.streamed = True
    stream = await pipeline.forward(context, request, name, ask, take_forwarded_stream(record))
    record.tier = tier_of_headers(stream.headers) or wanted

    def fail(error: GatewayError) -> bytes | None:
        is_invoked = operation.surface == "invoke"
        return exception_frame(error, is_invoked=is_invoked) if stream.tap.is_at_boundary else None

    async def finish() -> bytes:
        return b""

    headers = end_to_end(stream.headers)
    return StreamingResponse(stream.status, headers, stream.relay, lambda data: (data, None), finish, fail)


def _check_path(operation: Operation, path: str) -> None:
    """The path must be this operation's as it travels, not only once it is decoded: it is signed and sent as it is."""
    segments = unquote(path).split("/")[1:]
    if any(segment in ("", ".", "..") for segment in segments):
        raise InvalidRequest("the path has an empty or a dot segment")
    literal_end = operation.path.rpartition("}")[2]
    if not path.endswith(literal_end):
        raise NotFound(f"there is no {operation.method} {path}")


def _renamed(path: str, model: ModelId) -> str:
    """The path of a call with the model that a name stands for; a name is one segment, as it travels too."""
    _, root, _, *rest = path.split("/")
    return "/".join(("", root, model.quoted, *rest))


def _forwarded_headers(headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers of the caller that Bedrock must see; its credentials and connection are ours alone."""
    forwarded = tuple(
        (name, value) for name, value in headers.items() if name in _REQUEST_HEADERS or name.startswith(_REQUEST_PREFIX)
    )
    for name, value in forwarded:
        if not value.isascii():
            raise InvalidRequest(f"the header {name} must be ASCII")
    return forwarded


def _tier_wanted(operation: Operation, context: RequestContext) -> str:
    """What a call is to be paid by where its answer does not tell."""
    if operation.surface != "converse":
        return tier_of_headers(tuple(context.head.headers.items()))
    if b'"serviceTier"' in context.body or b'"performanceConfig"' in context.body:
        with contextlib.suppress(json.JsonError):
            return tier_of(json.loads(context.body))
    return ""


def told_by(operation: Operation, answer: Forwarded) -> tuple[Usage | None, str]:
    """The tokens that a whole answer tells of, if it does, and the tier that they are paid by: InvokeModel in its
    headers, Converse in its body.
    """
    if operation.usage_in == "headers":
        usage = usage_of_headers(answer.headers)
        if usage is not None and (usage.cache_write or b'"iterations"' in answer.body):
            with contextlib.suppress(json.JsonError):
                usage = usage.with_details_of(json.loads(answer.body))
        return usage, tier_of_headers(answer.headers)
    if operation.usage_in == "body":
        with contextlib.suppress(json.JsonError, KeyError, TypeError, AttributeError):
            reply = json.loads(answer.body)
            return Usage.of(reply["usage"], reply.get("additionalModelResponseFields")), tier_of(reply)
    return None, ""
