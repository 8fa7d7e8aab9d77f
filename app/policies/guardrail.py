"""A guardrail that this deployment puts on every call: where it cannot be applied, there is no call."""

import contextlib
from base64 import b64decode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from app.bedrock.client import BedrockRequest
from app.errors import InvalidRequest, PermissionRefused
from app.kit import json
from app.kit.members import listed
from app.kit.values import Struct, replace
from app.models.ids import parse_model_id
from app.models.traits import Traits, traits_of

_CONVERSE = frozenset({"converse", "converse-stream"})
_INVOKE = frozenset({"invoke", "invoke-with-response-stream"})
_IDENTIFIER, _VERSION = "x-amzn-bedrock-guardrailidentifier", "x-amzn-bedrock-guardrailversion"
_JSON = ("content-type", "application/json")
_IMAGES = ("png", "jpeg")
# what a document of another format says, only its reader knows
_TEXTS = ("txt", "md", "csv", "html")
_OWN_CONFIG = "amazon-bedrock-guardrailConfig"
# where bodies of embeddings hold what is no text, or say where it lies (AWS user guide: Titan, Cohere, Nova, Marengo)
_MEDIA = frozenset(
    {"audio", "image", "image_url", "images", "inputImage", "mediaSource", "s3Location", "source", "video"}
)
_UNSEEN = "the guardrail of this deployment cannot look at this"
_MARKED = "would keep what is not marked from the guardrail of this deployment"


# a block of ApplyGuardrail's content
Shown = dict[str, Any]


def as_text(text: str) -> Shown:
    """A text, as the guardrail looks at it."""
    return {"text": {"text": text}}


class Guardrail(Struct, frozen=True):
    """A guardrail of Amazon Bedrock, and which version of it."""

    identifier: str
    version: str

    def guard(self, request: BedrockRequest) -> tuple[BedrockRequest, list[Shown]]:
        """The request with the guardrail on it, in the way of its operation (contracts 4.2), and what it would not see.

        Converse's guardrails do not look at the results of tools (AWS user guide, guardrails with Converse, 2026-11).

        Raises:
            PermissionRefused: the operation cannot apply it. InvalidRequest: the caller wants another one, or marks
                what it is to look at: Bedrock then lets the rest pass (AWS user guide, guardrails with Converse; tags);
                or a tool has answered with what no guardrail can look at.
        """
        operation = request.path.rpartition("/")[2] if request.path.startswith("/model/") else ""
        if operation in _CONVERSE:
            body = self._on_converse(_document(request.body))
            return replace(request, body=json.dumps(body)), [*_results(body)]
        if operation in _INVOKE:
            document = _document(request.body)
            if _OWN_CONFIG in document:
                raise InvalidRequest(_MARKED, param=_OWN_CONFIG)
            headers = self._in_headers(request.headers)
            match _makes_text(request.path, document):
                case True:
                    return replace(request, headers=headers), []
                case False:
                    return request, [*_texts(document)]
                case None:
                    return replace(request, headers=headers), [*_texts(document)]
        if request.method == "GET" or operation == "count-tokens" or request.path.startswith("/guardrail"):
            return request, []
        raise PermissionRefused("this deployment's guardrail cannot be applied to this operation", retry_here=False)

    def check(self, content: list[Shown]) -> BedrockRequest:
        """The request that asks what the guardrail says of something on its way to a model."""
        path = f"/guardrail/{quote(self.identifier, safe='')}/version/{self.version}/apply"
        body = json.dumps({"source": "INPUT", "content": content})
        return BedrockRequest("bedrock-runtime", "POST", path, headers=(_JSON,), body=body)

    def _on_converse(self, body: dict[str, Any]) -> dict[str, Any]:
        given = body.get("guardrailConfig")
        config: dict[str, Any] = given if isinstance(given, dict) else {}
        ours = {"guardrailIdentifier": self.identifier, "guardrailVersion": self.version}
        if any(config.get(name, value) != value for name, value in ours.items()):
            raise InvalidRequest("is not the guardrail of this deployment", param="guardrailConfig")
        if config.get("streamProcessingMode", "sync") != "sync":
            raise InvalidRequest("must be sync", param="guardrailConfig.streamProcessingMode")
        for path, block in _blocks(body):
            if "guardContent" in block:
                raise InvalidRequest(_MARKED, param=f"{path}.guardContent")
        return {**body, "guardrailConfig": {**config, **ours}}

    def _in_headers(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        ours = ((_IDENTIFIER, self.identifier), (_VERSION, self.version))
        for name, value in headers:
            if name in (_IDENTIFIER, _VERSION) and (name, value) not in ours:
                raise InvalidRequest("is not the guardrail of this deployment", param=name)
        # without it InvokeModel refuses a guardrail (contracts 6), and boto3 sends none unless it is told to
        kinds = () if any(name == _JSON[0] for name, _ in headers) else (_JSON,)
        return (*(header for header in headers if header not in ours), *kinds, *ours)


def _makes_text(path: str, document: dict[str, Any]) -> bool | None:
    """Whether a model makes text, or nothing where nobody knows: an ARN may hide it.

    Only of text does AWS say that InvokeModel has a guardrail look at it (user guide, guardrails with InvokeModel).
    """
    traits = traits_of(parse_model_id(unquote(path.removeprefix("/model/").rpartition("/")[0])))
    if traits.embedding or traits.rerank:
        return False
    is_known = traits != Traits()
    is_conversation = any(isinstance(each, dict) and "role" in each for each in listed(document.get("messages")))
    return True if is_known or is_conversation or isinstance(document.get("prompt"), str) else None


def _texts(value: Any, path: tuple[str, ...] = ()) -> Iterator[Shown]:
    """Every text in a body that is to be embedded or sorted."""
    match value:
        case str():
            yield as_text(value)
        case dict():
            for name, inside in value.items():
                if name in _MEDIA and inside:
                    raise InvalidRequest(_UNSEEN, param=".".join((*path, name)))
                yield from _texts(inside, (*path, name))
        case list():
            for inside in value:
                yield from _texts(inside, path)


def _blocks(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every block of a Converse request, with its path."""
    yield from _in_list(body.get("system"), "system")
    for place, message in enumerate(listed(body.get("messages"))):
        if isinstance(message, dict):
            yield from _in_list(message.get("content"), f"messages[{place}].content")


def _in_list(blocks: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, block in enumerate(listed(blocks)):
        if isinstance(block, dict):
            yield f"{path}[{place}]", block
            result = block.get("toolResult")
            if isinstance(result, dict):
                yield from _in_list(result.get("content"), f"{path}[{place}].toolResult.content")


def _results(body: dict[str, Any]) -> Iterator[Shown]:
    """What tools have answered."""
    for path, block in _blocks(body):
        if ".toolResult.content[" in path:
            yield _shown(block, path)


def _shown(block: dict[str, Any], path: str) -> Shown:
    """A part of a tool's answer, as the guardrail looks at it.

    Raises:
        InvalidRequest: it cannot.
    """
    match block:
        case {"text": str(text)}:
            return as_text(text)
        case {"json": document}:
            return as_text(json.dumps_text(document))
        case {"image": {"format": kind, "source": {"bytes": data}}} if kind in _IMAGES:
            return {"image": {"format": kind, "source": {"bytes": data}}}
        case {"document": {"format": kind, "source": {"bytes": str(data)}, **more}} if kind in _TEXTS:
            with contextlib.suppress(ValueError):
                text = b64decode(data).decode()
                if "\0" not in text:  # of another encoding
                    return as_text(f"{text}\n{json.dumps_text(more)}")
        case {"document": {"source": {"text": _} | {"content": _}}} | {"searchResult": _}:
            return as_text(json.dumps_text(block))
    raise InvalidRequest(_UNSEEN, param=path)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads_strictly(body)
    except json.JsonError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", param=error.path or None) from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    return document
