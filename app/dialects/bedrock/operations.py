"""The operations of Bedrock that are served in passthrough mode, as data.

Source: docs/reference/contracts/bedrock-endpoints.md#paths
"""

from typing import Literal

from msgspec import Struct

from app.bedrock.endpoints import Service
from app.converse.call import Surface
from app.converse.reply import Reply
from app.converse.request import ConverseRequest, ConverseStreamRequest
from app.execution.operations.passthrough import UsageIn
from app.wire.json import JsonObject


class AwsOperation(Struct, frozen=True):
    """One operation of an AWS service.

    path: its template; `{name:path}` may hold slashes. usage_in: where a complete response has its tokens.
    request, response: types for the OpenAPI page; None for bytes that depend on the model.
    """

    name: str
    method: str
    path: str
    service: Service
    summary: str
    is_streamed: bool = False
    usage_in: UsageIn = ""
    surface: Surface | Literal[""] = ""
    request: object = None
    response: object = None
    example: JsonObject | None = None


_HELLO = {"messages": [{"role": "user", "content": [{"text": "Say hello."}]}]}

OPERATIONS: tuple[AwsOperation, ...] = (
    AwsOperation(
        "Converse",
        "POST",
        "/model/{modelId:path}/converse",
        "bedrock-runtime",
        "Answer a conversation",
        usage_in="body",
        surface=Surface.CONVERSE,
        request=ConverseRequest,
        response=Reply,
        example=_HELLO,
    ),
    AwsOperation(
        "ConverseStream",
        "POST",
        "/model/{modelId:path}/converse-stream",
        "bedrock-runtime",
        "Answer a conversation as an event stream",
        is_streamed=True,
        surface=Surface.CONVERSE,
        request=ConverseStreamRequest,
        example=_HELLO,
    ),
    AwsOperation(
        "InvokeModel",
        "POST",
        "/model/{modelId:path}/invoke",
        "bedrock-runtime",
        "Call a model with a body of its own format",
        usage_in="headers",
        surface=Surface.INVOKE,
        request=JsonObject,
        response=JsonObject,
    ),
    AwsOperation(
        "InvokeModelWithResponseStream",
        "POST",
        "/model/{modelId:path}/invoke-with-response-stream",
        "bedrock-runtime",
        "Call a model with a body of its own format, and get an event stream",
        is_streamed=True,
        surface=Surface.INVOKE,
        request=JsonObject,
    ),
    AwsOperation(
        "CountTokens",
        "POST",
        "/model/{modelId:path}/count-tokens",
        "bedrock-runtime",
        "Count the tokens of an input",
        request=JsonObject,
        response=dict[str, int],
        example={"input": {"converse": _HELLO}},
    ),
    AwsOperation(
        "ApplyGuardrail",
        "POST",
        "/guardrail/{guardrailIdentifier:path}/version/{guardrailVersion}/apply",
        "bedrock-runtime",
        "Apply a guardrail to content",
        usage_in="guardrail",
        request=JsonObject,
        response=JsonObject,
    ),
    AwsOperation(
        "InvokeGuardrailChecks",
        "POST",
        "/guardrail-checks/invoke",
        "bedrock-runtime",
        "Check content without a guardrail of the account",
        request=JsonObject,
        response=JsonObject,
    ),
    AwsOperation(
        "StartAsyncInvoke",
        "POST",
        "/async-invoke",
        "bedrock-runtime",
        "Start a call whose response goes to S3",
        request=JsonObject,
        response=JsonObject,
    ),
    AwsOperation(
        "ListAsyncInvokes",
        "GET",
        "/async-invoke",
        "bedrock-runtime",
        "List asynchronous calls",
        response=JsonObject,
    ),
    AwsOperation(
        "GetAsyncInvoke",
        "GET",
        "/async-invoke/{invocationArn:path}",
        "bedrock-runtime",
        "Describe an asynchronous call",
        response=JsonObject,
    ),
    AwsOperation(
        "ListFoundationModels",
        "GET",
        "/foundation-models",
        "bedrock",
        "List foundation models",
        response=JsonObject,
    ),
    AwsOperation(
        "GetFoundationModel",
        "GET",
        "/foundation-models/{modelIdentifier:path}",
        "bedrock",
        "Describe a foundation model",
        response=JsonObject,
    ),
    AwsOperation(
        "ListInferenceProfiles",
        "GET",
        "/inference-profiles",
        "bedrock",
        "List inference profiles",
        response=JsonObject,
    ),
    AwsOperation(
        "GetInferenceProfile",
        "GET",
        "/inference-profiles/{inferenceProfileIdentifier:path}",
        "bedrock",
        "Describe an inference profile",
        response=JsonObject,
    ),
)
