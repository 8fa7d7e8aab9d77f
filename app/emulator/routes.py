"""The paths of the runtime, of mantle and of the control plane."""

import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, unquote

from starlette.types import Scope

from app.emulator import control_plane
from app.emulator.anthropic_messages.mantle import count_message, create_message
from app.emulator.guardrails import check_guardrail
from app.emulator.model_runner import ModelRunner
from app.emulator.openai_api.operation import create
from app.emulator.operations import Operations
from app.emulator.responses import CompleteResponse, Response
from app.wire import json

_MODEL = re.compile(r"/model/(.+)/(converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)\Z")
_OPENAI = re.compile(r"(/openai)?/v1/(responses|chat/completions)\Z")
_MESSAGES = re.compile(r"/anthropic/v1/messages(/count_tokens)?\Z")
_GUARDRAIL = re.compile(r"/guardrail/(.+)/version/([^/]+)/apply\Z")
_FOUNDATION_MODEL = re.compile(r"/foundation-models(?:/(.+))?\Z")
_PROFILE = re.compile(r"/inference-profiles(?:/(.+))?\Z")

# AWS's response to an unknown path, with status 200 (litellm#13618)
_UNKNOWN: Mapping[str, object] = {
    "Output": {"__type": "com.amazon.coral.service#UnknownOperationException"},
    "Version": "1.0",
}


class Routes:
    """Finds the operation of a request, and runs it."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self._operations = Operations(runner)
        self._by_name: dict[str, Callable[[str, bytes], Awaitable[Response]]] = {
            "converse": self._operations.converse,
            "converse-stream": self._operations.converse_stream,
            "invoke": self._operations.invoke,
            "invoke-with-response-stream": self._operations.invoke_stream,
            "count-tokens": self._operations.count_tokens,
        }

    async def dispatch(self, scope: Scope, body: bytes, service: str) -> Response:
        """Run the operation of a request.

        Args:
            service: the service that the signature names; empty for a bearer key.

        Raises:
            ServiceError: as AWS does. ConnectionResetError: the fault `reset`.
        """
        path = scope["raw_path"].decode("latin-1")
        if scope["method"] == "POST":
            return await self._post(path, scope, body, service)
        document = _UNKNOWN
        if scope["method"] == "GET":
            document = _get(path, dict(parse_qsl(scope["query_string"].decode("latin-1"))))
        return CompleteResponse(json.dumps(document))

    async def _post(self, path: str, scope: Scope, body: bytes, service: str) -> Response:
        if match := _MODEL.match(path):
            _check_guardrail_headers(scope)
            return await self._by_name[match[2]](unquote(match[1]), body)
        if _OPENAI.match(path):
            is_mantle = service == "bedrock-mantle" if service else None
            return await create(self._runner, path, is_mantle=is_mantle, body=body)
        if match := _MESSAGES.match(path):
            return count_message(body) if match[1] else await create_message(self._runner, body)
        if match := _GUARDRAIL.match(path):
            return await self._operations.apply_guardrail(unquote(match[1]), match[2], body)
        return CompleteResponse(json.dumps(_UNKNOWN))


def _check_guardrail_headers(scope: Scope) -> None:
    """InvokeModel names its guardrail in headers."""
    headers = dict(scope["headers"])
    identifier = headers.get(b"x-amzn-bedrock-guardrailidentifier", b"").decode()
    version = headers.get(b"x-amzn-bedrock-guardrailversion", b"").decode()
    if identifier or version:
        check_guardrail(identifier, version)


def _get(path: str, query: dict[str, str]) -> Mapping[str, object]:
    if match := _FOUNDATION_MODEL.match(path):
        if match[1] is None:
            return control_plane.list_foundation_models(query)
        return control_plane.get_foundation_model(unquote(match[1]))
    if match := _PROFILE.match(path):
        if match[1] is None:
            return control_plane.list_inference_profiles(query)
        return control_plane.get_inference_profile(unquote(match[1]))
    return control_plane.list_mantle_models() if path == "/v1/models" else _UNKNOWN
