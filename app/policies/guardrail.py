"""A guardrail that this deployment puts on every call: where it cannot be applied, there is no call."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from app.bedrock.client import BedrockRequest
from app.errors import InvalidRequest, PermissionRefused
from app.kit import json

_CONVERSE = frozenset({"converse", "converse-stream"})
_INVOKE = frozenset({"invoke", "invoke-with-response-stream"})
_IDENTIFIER, _VERSION = "x-amzn-bedrock-guardrailidentifier", "x-amzn-bedrock-guardrailversion"
_JSON = (("content-type", "application/json"),)
_OWN_CONFIG = "amazon-bedrock-guardrailConfig"
_MARKED = "would keep what is not marked from the guardrail of this deployment"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A guardrail of Amazon Bedrock, and which version of it."""

    identifier: str
    version: str

    def guard(self, request: BedrockRequest) -> BedrockRequest:
        """The request with the guardrail on it, in the way of its operation (contracts 4.2).

        Raises:
            PermissionRefused: the operation cannot apply it. InvalidRequest: the caller wants another one, or marks
                what it is to look at: Bedrock then lets the rest pass (AWS user guide, guardrails with Converse; tags).
        """
        operation = request.path.rpartition("/")[2] if request.path.startswith("/model/") else ""
        if operation in _CONVERSE:
            return replace(request, body=json.dumps(self._on_converse(_document(request.body))))
        if operation in _INVOKE:
            if _OWN_CONFIG in _document(request.body):
                raise InvalidRequest(_MARKED, param=_OWN_CONFIG)
            return replace(request, headers=self._in_headers(request.headers))
        if request.method == "GET" or operation == "count-tokens" or request.path.startswith("/guardrail"):
            return request
        raise PermissionRefused("this deployment's guardrail cannot be applied to this operation", retry_here=False)

    def check(self, texts: list[str]) -> BedrockRequest:
        """The request that asks what the guardrail says of texts on their way to a model."""
        path = f"/guardrail/{quote(self.identifier, safe='')}/version/{self.version}/apply"
        content = [{"text": {"text": text}} for text in texts]
        body = json.dumps({"source": "INPUT", "content": content})
        return BedrockRequest(
            "bedrock-runtime", "POST", path, headers=(("content-type", "application/json"),), body=body
        )

    def _on_converse(self, body: dict[str, Any]) -> dict[str, Any]:
        given = body.get("guardrailConfig")
        config: dict[str, Any] = given if isinstance(given, dict) else {}
        ours = {"guardrailIdentifier": self.identifier, "guardrailVersion": self.version}
        if any(config.get(name, value) != value for name, value in ours.items()):
            raise InvalidRequest("is not the guardrail of this deployment", param="guardrailConfig")
        if config.get("streamProcessingMode", "sync") != "sync":
            raise InvalidRequest("must be sync", param="guardrailConfig.streamProcessingMode")
        for place, message in enumerate(body.get("messages") or ()):
            content = message.get("content") if isinstance(message, dict) else None
            for each, block in enumerate(content if isinstance(content, list) else ()):
                if isinstance(block, dict) and "guardContent" in block:
                    raise InvalidRequest(_MARKED, param=f"messages[{place}].content[{each}].guardContent")
        return {**body, "guardrailConfig": {**config, **ours}}

    def _in_headers(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        ours = ((_IDENTIFIER, self.identifier), (_VERSION, self.version))
        for name, value in headers:
            if name in (_IDENTIFIER, _VERSION) and (name, value) not in ours:
                raise InvalidRequest("is not the guardrail of this deployment", param=name)
        return (*(header for header in headers if header not in ours), *ours)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads_strictly(body)
    except json.JsonError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", param=error.path or None) from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    return document
