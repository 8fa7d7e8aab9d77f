"""Applies a guardrail to every call, of the deployment or of a policy. A call that cannot have it is refused."""

import re
from typing import TypeAlias
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.client import BedrockRequest
from app.errors import InvalidRequest, PermissionRefused
from app.governance.guardrail_content import MARKED, GuardrailBlock, texts_in, unchecked_in
from app.governance.identity.caller import Policy
from app.governance.strict_document import parse_strict_object
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import ModelId
from app.wire import json
from app.wire.json import JsonObject

Headers: TypeAlias = tuple[tuple[str, str], ...]

_CONVERSE = frozenset({"converse", "converse-stream"})
_INVOKE = frozenset({"invoke", "invoke-with-response-stream"})
_IDENTIFIER, _VERSION = "x-amzn-bedrock-guardrailidentifier", "x-amzn-bedrock-guardrailversion"
_TRACE = "x-amzn-bedrock-trace"
_JSON = ("content-type", "application/json")
_DRAFT = "DRAFT"
_OWN_CONFIG = "amazon-bedrock-guardrailConfig"
# "The provided guardrail identifier is invalid." (openclaw/openclaw#58588), "The guardrail identifier or version
# provided in the request does not exist."
_MISSING = re.compile(r"The (provided guardrail identifier is invalid|guardrail identifier or version provided)\b")


def is_missing(error: InvalidRequest) -> bool:
    """Return whether Bedrock refuses a call because the guardrail, or its version, does not exist."""
    return _MISSING.match(error.message) is not None


class Guardrail(Struct, frozen=True):
    """A guardrail of Amazon Bedrock, and its version.

    reports: have responses report the units that it has examined, by a trace.
    """

    identifier: str
    version: str
    reports: bool = False

    def guard(self, request: BedrockRequest, model: ModelId) -> tuple[BedrockRequest, list[GuardrailBlock]]:
        """Add the guardrail to a request; returns the request, and the content that it would not check.

        Args:
            model: the model itself, as far as it is known.

        Raises:
            PermissionRefused: the operation does not support guardrails.
            InvalidRequest: the caller names another guardrail; or marks content, so that Bedrock would check nothing
                else (AWS user guide, guardrails with Converse; tags); or the request has content that no guardrail
                can check, or that could be read in two ways.

        Source: docs/reference/contracts/bedrock-wire.md#invokemodel-headers
        """
        operation = request.path.rpartition("/")[2] if request.path.startswith("/model/") else ""
        if operation in _CONVERSE:
            body = self._on_converse(parse_strict_object(request.body))
            return replace(request, body=json.dumps(body)), unchecked_in(body)
        if operation in _INVOKE:
            document = parse_strict_object(request.body)
            if _OWN_CONFIG in document:
                raise InvalidRequest(MARKED, param=_OWN_CONFIG)
            headers = self._in_headers(request.headers)
            match _makes_text(model):
                case True:
                    return replace(request, headers=headers), []
                case False:
                    return request, [*texts_in(document)]
                case None:
                    return replace(request, headers=headers), [*texts_in(document)]
        if request.method == "GET" or operation == "count-tokens" or request.path.startswith("/guardrail"):
            return request, []
        raise PermissionRefused("this deployment's guardrail cannot be applied to this operation", retry_here=False)

    def check(self, content: list[GuardrailBlock]) -> BedrockRequest:
        """Return a request of ApplyGuardrail for input content."""
        path = f"/guardrail/{quote(self.identifier, safe='')}/version/{quote(self.version, safe='')}/apply"
        body = json.dumps({"source": "INPUT", "content": content})
        return BedrockRequest("bedrock-runtime", "POST", path, headers=(_JSON,), body=body)

    def _on_converse(self, body: JsonObject) -> JsonObject:
        given = body.get("guardrailConfig")
        config: JsonObject = given if isinstance(given, dict) else {}
        ours = {"guardrailIdentifier": self.identifier, "guardrailVersion": self.version}
        if any(config.get(name, value) != value for name, value in ours.items()):
            raise InvalidRequest("is not the guardrail of this deployment", param="guardrailConfig")
        if config.get("streamProcessingMode", "sync") != "sync":
            raise InvalidRequest("must be sync", param="guardrailConfig.streamProcessingMode")
        trace = {"trace": "enabled"} if self.reports and "trace" not in config else {}
        return {**body, "guardrailConfig": {**config, **ours, **trace}}

    def _in_headers(self, headers: Headers) -> Headers:
        ours = ((_IDENTIFIER, self.identifier), (_VERSION, self.version))
        for name, value in headers:
            if name in (_IDENTIFIER, _VERSION) and (name, value) not in ours:
                raise InvalidRequest("is not the guardrail of this deployment", param=name)
        # without it InvokeModel refuses a guardrail: docs/reference/contracts/converse-rules.md#guardrails
        content_type = () if any(name == _JSON[0] for name, _ in headers) else (_JSON,)
        asks = any(name == _TRACE for name, _ in headers) or not self.reports
        trace = () if asks else ((_TRACE, "ENABLED"),)
        return (*(header for header in headers if header not in ours), *content_type, *ours, *trace)


def guardrail_of(policy: Policy) -> Guardrail | None:
    """Return the guardrail of a policy, if it has one."""
    if not policy.guardrail_id:
        return None
    return Guardrail(policy.guardrail_id, policy.guardrail_version or _DRAFT, reports=True)


def _makes_text(model: ModelId) -> bool | None:
    """Return whether a model makes text, or None if that is unknown, as behind an ARN.

    AWS documents that InvokeModel's guardrails check text only (user guide, guardrails with InvokeModel). The body does
    not count, since a model ignores fields that it does not know.
    """
    capabilities = capabilities_of(model)
    if capabilities.embeddings.member or capabilities.rerank.accepted or not capabilities.output.text:
        return False
    return True if capabilities != Capabilities() else None
