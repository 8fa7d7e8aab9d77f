"""Calls of CountTokens."""

from __future__ import annotations

import sys
from base64 import b64encode
from typing import Any, Self

from app.adaptation import adapt
from app.adaptation.invoke import adapt_invoke
from app.bedrock.client import BedrockRequest
from app.bedrock.transport import HttpResponse
from app.converse.call import Mode, ModelCall, NativeCall, Surface
from app.errors import UpstreamFailed
from app.execution.operations.operation import JSON, Operation, read_document
from app.models.ids import ModelId, parse_model_id
from app.observability.observer import AttemptContext
from app.routing.planner import Target
from app.wire import json
from app.wire.json import JsonObject

# the members of CountTokens' Converse input (botocore's service model)
_COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")


class CountTokensOperation(Operation[int], frozen=True, kw_only=True):
    """The number of input tokens of a call. request: for the base id of the model, which alone is accepted."""

    mode: Mode = Mode.NATIVE
    surface: Surface = Surface.COUNT_TOKENS
    request: BedrockRequest

    @classmethod
    def of(cls, call: ModelCall, target: Target) -> Self:
        """Count the input of a call as the model of a target would get it. Raises InvalidRequest."""
        adapted = adapt(call, target.capabilities)
        body: Any = adapted.body
        counted = {"converse": {member: body[member] for member in _COUNTED if member in body}}
        ignored = [*call.ignored, *adapted.ignored]
        return cls(request=_request(target, counted), ignored=ignored, adjusted=adapted.adjusted)

    @classmethod
    def of_native(cls, call: NativeCall, target: Target) -> Self:
        """Count a body of the model's own format; it need not leave room for an answer. Raises InvalidRequest."""
        adapted = adapt_invoke(call, target.capabilities.with_values({"max_output": sys.maxsize}), target.betas)
        counted = {"invokeModel": {"body": b64encode(json.dumps(adapted.body)).decode()}}
        ignored = [*call.ignored, *adapted.ignored]
        return cls(request=_request(target, counted), ignored=ignored, adjusted=adapted.adjusted)

    def build(self, model: ModelId) -> BedrockRequest:
        del model
        return self.request

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> int:
        tokens = (await read_document(response, attempt)).get("inputTokens")
        if not isinstance(tokens, int):
            raise UpstreamFailed("Bedrock's count of tokens made no sense", detail="no inputTokens")
        return tokens


def _request(target: Target, counted: JsonObject) -> BedrockRequest:
    path = f"/model/{parse_model_id(target.model_behind.base).quoted}/count-tokens"
    return BedrockRequest("bedrock-runtime", "POST", path, headers=JSON, body=json.dumps({"input": counted}))
