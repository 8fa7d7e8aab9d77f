"""The endpoints of the Bedrock dialect, made from the table of operations."""

from collections.abc import Sequence
from functools import partial

from app.dialects.bedrock.errors import render_error
from app.dialects.bedrock.native import forward
from app.dialects.bedrock.operations import OPERATIONS, AwsOperation
from app.dialects.http.documents import OutputSchema
from app.dialects.http.endpoint_spec import EndpointSpec, error_responses
from app.execution.executor import Executor
from app.wire import eventstream
from app.wire.json import JsonObject

DIALECT = "bedrock"


class AwsError(OutputSchema):
    """An error; its name is in the header `x-amzn-errortype`."""

    message: str


_ERRORS = error_responses(
    AwsError,
    {
        400: "ValidationException, ServiceQuotaExceededException",
        401: "UnrecognizedClientException, InvalidSignatureException",
        403: "AccessDeniedException",
        404: "ResourceNotFoundException",
        405: "UnknownOperationException",
        408: "ModelTimeoutException: Bedrock did not respond within the limits; or RequestTimeoutException: "
        "the body did not arrive in time",
        413: "ValidationException: the body is too large",
        424: "ModelErrorException",
        429: "ThrottlingException, ModelNotReadyException",
        500: "InternalServerException",
        502: "ServiceUnavailableException: Bedrock could not be reached",
        503: "ServiceUnavailableException",
        504: "ServiceUnavailableException: Bedrock accepted no connection in time",
    },
)


def bedrock_endpoints(executor: Executor) -> Sequence[EndpointSpec]:
    """Return the endpoints of this dialect, one for each operation."""
    return [
        EndpointSpec(
            method=operation.method,
            path=operation.path,
            dialect=DIALECT,
            handler=partial(forward, operation, executor),
            render_error=render_error,
            name=operation.name,
            operation_id=operation.name,
            summary=operation.summary,
            description=f"AWS's own {operation.name}. The bodies pass byte for byte; the request is signed anew. "
            "AWS's SDKs work with the gateway as their endpoint URL.",
            tags=("Bedrock",),
            request=operation.request,
            response=operation.response,
            responses=_responses(operation),
            body_examples=None if operation.example is None else {"example": operation.example},
        )
        for operation in OPERATIONS
    ]


def _responses(operation: AwsOperation) -> dict[int | str, JsonObject]:
    if not operation.is_streamed:
        return _ERRORS
    stream = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"content": {eventstream.CONTENT_TYPE: stream}}, **_ERRORS}
