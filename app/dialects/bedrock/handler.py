"""The routes of the Bedrock dialect, made from the table of operations."""

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any

from app.dialects.bedrock.errors import render_error
from app.dialects.bedrock.native import forward
from app.dialects.bedrock.operations import OPERATIONS, Operation
from app.dialects.http.documents import Shown
from app.dialects.http.endpoint import Endpoint, Handler, IngressLimits, error_responses
from app.dialects.http.responses import Answer
from app.execution.executor import Pipeline
from app.execution.request_context import RequestContext
from app.wire import eventstream

DIALECT = "bedrock"


class AwsError(Shown):
    """An error; its name is in the header `x-amzn-errortype`."""

    message: str


_ERRORS = error_responses(
    AwsError,
    {
        400: "ValidationException, ServiceQuotaExceededException",
        403: "AccessDeniedException, UnrecognizedClientException, InvalidSignatureException",
        404: "ResourceNotFoundException",
        405: "UnknownOperationException",
        408: "ModelTimeoutException: Bedrock did not answer within the limits; or RequestTimeoutException: "
        "the body did not arrive in time",
        413: "ValidationException: the body is too large",
        424: "ModelErrorException",
        429: "ThrottlingException, ModelNotReadyException",
        500: "InternalServerException",
        502: "ServiceUnavailableException: Bedrock could not be reached",
        503: "ServiceUnavailableException",
        504: "ServiceUnavailableException: Bedrock took no connection in time",
    },
)


def bedrock_routes(pipeline: Pipeline, ingress_limits: IngressLimits) -> Sequence[Endpoint]:
    """The routes of this dialect."""
    return [
        Endpoint(
            operation.path,
            _documented(operation),
            dialect=DIALECT,
            handler=_handler(operation, pipeline),
            render_error=render_error,
            ingress_limits=ingress_limits,
            methods=[operation.method],
            tags=["Bedrock"],
            summary=operation.summary,
            operation_id=operation.name,
            response_model=operation.response,
            responses=_responses(operation),
            openapi_extra=_examples(operation),
        )
        for operation in OPERATIONS
    ]


def _handler(operation: Operation, pipeline: Pipeline) -> Handler:
    async def handle(context: RequestContext) -> Answer:
        return await forward(operation, pipeline, context)

    return handle


def _documented(operation: Operation) -> Callable[..., Any]:
    """A function whose signature is the operation's documentation; it is never called."""

    def endpoint(**given: Any) -> None:
        raise AssertionError(given)

    names = [part.strip("{}").partition(":")[0] for part in operation.path.split("/") if part.startswith("{")]
    parameters = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=str) for name in names]
    if operation.request is not None:
        parameters.append(Parameter("body", Parameter.KEYWORD_ONLY, annotation=operation.request))
    endpoint.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    endpoint.__doc__ = (
        f"AWS's own {operation.name}: request and answer cross byte for byte, signed anew. "
        "SDKs of AWS work with this gateway as their endpoint URL."
    )
    return endpoint


def _responses(operation: Operation) -> dict[int | str, dict[str, Any]]:
    if not operation.is_streamed:
        return _ERRORS
    stream = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"content": {eventstream.CONTENT_TYPE: stream}}, **_ERRORS}


def _examples(operation: Operation) -> dict[str, Any] | None:
    if operation.example is None:
        return None
    return {"requestBody": {"content": {"application/json": {"example": operation.example}}}}
