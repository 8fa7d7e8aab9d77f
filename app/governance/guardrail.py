"""A guardrail that this deployment puts on every call: where it cannot be applied, there is no call."""

import contextlib
import html
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.client import BedrockRequest
from app.errors import InvalidRequest, PermissionRefused
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id
from app.wire import json
from app.wire.documents import listed

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
# members of messages and of the system prompt that say nothing, that Converse's guardrails look at themselves, or that
# define tools, which nobody looks at (DEPLOYMENT.md)
_LEFT_TO_BEDROCK = frozenset({"audio", "cachePoint", "image", "text", "toolAddition", "toolRemoval", "video"})
# fields of models' own that choose how to answer, and cannot tell a model anything else; and definitions, as above
_CHOICES = frozenset(
    {
        "anthropic_beta",
        "anthropic_version",
        "cache_control",
        "context_management",
        "inferenceConfig",
        "output_config",
        "reasoning",
        "reasoningConfig",
        "reasoning_config",
        "reasoning_effort",
        "response_format",
        "return_likelihoods",
        "safety_mode",
        "service_tier",
        "speed",
        "stop",
        "stop_sequences",
        "thinking",
        "tool_choice",
        "tools",
        "verbosity",
    }
)
_TAG = re.compile(r"<[^<>]*>")
_UNSEEN = "the guardrail of this deployment cannot look at this"
_MARKED = "would keep what is not marked from the guardrail of this deployment"


# "The provided guardrail identifier is invalid." (openclaw/openclaw#58588), "The guardrail identifier or version
# provided in the request does not exist."
_MISSING = re.compile(r"The (provided guardrail identifier is invalid|guardrail identifier or version provided)\b")

# a block of ApplyGuardrail's content
Shown = dict[str, Any]


def as_text(text: str) -> Shown:
    """A text, as the guardrail looks at it."""
    return {"text": {"text": text}}


def is_missing(error: InvalidRequest) -> bool:
    """True if Bedrock refuses a call since there is no such guardrail, or no such version of it."""
    return _MISSING.match(error.message) is not None


class Guardrail(Struct, frozen=True):
    """A guardrail of Amazon Bedrock, and which version of it."""

    identifier: str
    version: str

    def guard(self, request: BedrockRequest) -> tuple[BedrockRequest, list[Shown]]:
        """The request with the guardrail on it, in the way of its operation, and what it would not see.

        Converse's guardrails do not look at the results of tools, nor at their arguments and definitions (AWS user
        guide, guardrails with Converse, 2026-11), nor at thoughts (the same, guardrails); of what else is no message's
        text, AWS does not say that they do.

        Raises:
            PermissionRefused: the operation cannot apply it. InvalidRequest: the caller wants another one, or marks
                what it is to look at: Bedrock then lets the rest pass (AWS user guide, guardrails with Converse; tags);
                or there is something that no guardrail can look at, or that could be read in two ways.

        Source: docs/reference/contracts/bedrock-wire.md#invokemodel-headers
        """
        operation = request.path.rpartition("/")[2] if request.path.startswith("/model/") else ""
        if operation in _CONVERSE:
            body = self._on_converse(_document(request.body))
            unseen = [shown for shown in _unseen(body) if shown != as_text("")]
            return replace(request, body=json.dumps(body)), unseen
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
        return {**body, "guardrailConfig": {**config, **ours}}

    def _in_headers(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        ours = ((_IDENTIFIER, self.identifier), (_VERSION, self.version))
        for name, value in headers:
            if name in (_IDENTIFIER, _VERSION) and (name, value) not in ours:
                raise InvalidRequest("is not the guardrail of this deployment", param=name)
        # without it InvokeModel refuses a guardrail: docs/reference/contracts/converse-rules.md#guardrails
        kinds = () if any(name == _JSON[0] for name, _ in headers) else (_JSON,)
        return (*(header for header in headers if header not in ours), *kinds, *ours)


def _makes_text(path: str, document: dict[str, Any]) -> bool | None:
    """Whether a model makes text, or nothing where nobody knows: an ARN may hide it.

    Only of text does AWS say that InvokeModel has a guardrail look at it (user guide, guardrails with InvokeModel).
    """
    capabilities = capabilities_of(parse_model_id(unquote(path.removeprefix("/model/").rpartition("/")[0])))
    if capabilities.embeddings.member or capabilities.rerank.accepted:
        return False
    is_known = capabilities != Capabilities()
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


def _unseen(body: dict[str, Any]) -> Iterator[Shown]:
    """What of a Converse request its guardrails would not look at.

    Raises:
        InvalidRequest: no guardrail can look at it, or it is marked.
    """
    for path, name, _ in _blocks(body.get("system"), "system"):
        if name not in _LEFT_TO_BEDROCK:
            raise InvalidRequest(_UNSEEN, param=path)
    for index, message in enumerate(_list(body.get("messages"), "messages")):
        if not isinstance(message, dict):
            raise InvalidRequest("must be an object", param=f"messages[{index}]")
        for path, name, value in _blocks(message.get("content"), f"messages[{index}].content"):
            yield from _in_message(path, name, value)
    yield as_text(_in_words(body.get("promptVariables") or {}))
    fields = body.get("additionalModelRequestFields") or {}
    if not isinstance(fields, dict):
        raise InvalidRequest("must be an object", param="additionalModelRequestFields")
    for name, value in fields.items():
        if name not in _CHOICES and not isinstance(value, int | float | None):
            raise InvalidRequest(_UNSEEN, param=f"additionalModelRequestFields.{name}")


def _list(value: Any, path: str) -> list[Any]:
    if value is None or isinstance(value, list):
        return value or []
    raise InvalidRequest("must be a list", param=path)


def _blocks(blocks: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """The path of each block, and its only member: of two, the model could read the one that nobody looked at."""
    for index, block in enumerate(_list(blocks, path)):
        if not isinstance(block, dict) or len(block) != 1:
            raise InvalidRequest("must be an object with exactly one member", param=f"{path}[{index}]")
        ((name, value),) = block.items()
        if name == "guardContent":
            raise InvalidRequest(_MARKED, param=f"{path}[{index}].guardContent")
        yield f"{path}[{index}]", name, value


def _in_message(path: str, name: str, value: Any) -> Iterator[Shown]:
    """What of a message's block is to be shown."""
    match name, value:
        case "toolResult", dict():
            yield as_text(_in_words(value.get("type", "")))
            for inside, part, told in _blocks(value.get("content"), f"{path}.toolResult.content"):
                yield _shown(part, told, inside)
        case "toolUse", dict():
            yield as_text(_in_words(value.get("input")))
        case "reasoningContent", {"reasoningText": {"text": str(text)}, **rest} if not rest:
            yield as_text(text)
        case "reasoningContent", {"redactedContent": _, **rest} if not rest:
            pass
        case "citationsContent" | "searchResult", dict():
            yield as_text(_in_words(value))
        case "document", {"source": {"bytes": _} | {"s3Location": _} as source, **more} if len(source) == 1:
            yield as_text(_in_words(more))
        case "document", {"source": {"text": _} | {"content": _} as source} if len(source) == 1:
            yield as_text(_in_words(value))
        case _ if name not in _LEFT_TO_BEDROCK:
            raise InvalidRequest(_UNSEEN, param=path)


def _shown(name: str, value: Any, path: str) -> Shown:
    """A part of a tool's answer, as the guardrail looks at it.

    Raises:
        InvalidRequest: it cannot.
    """
    match name, value:
        case "text", str():
            return as_text(value)
        case ("json", _) | ("searchResult", dict()):
            return as_text(_in_words(value))
        case "image", {"format": kind, "source": {"bytes": data, **others}, **more} if not others and not more:
            if kind in _IMAGES:
                return {"image": {"format": kind, "source": {"bytes": data}}}
        case "document", {"format": kind, "source": {"bytes": str(data), **others}, **more} if not others:
            if kind in _TEXTS:
                with contextlib.suppress(ValueError):
                    text = b64decode(data, validate=True).decode()
                    if "\0" not in text:  # of another encoding
                        return as_text(f"{_as_read(text) if kind == 'html' else text}\n{_in_words(more)}")
        case "document", {"source": {"text": _} | {"content": _} as source} if len(source) == 1:
            return as_text(_in_words(value))
    raise InvalidRequest(_UNSEEN, param=path)


def _as_read(page: str) -> str:
    """A page of HTML as it stands and as it is read: references and tags in the midst of words would hide them."""
    source = html.unescape(page)
    read = html.unescape(_TAG.sub("", page))
    return source if read == source else f"{source}\n{read}"


def _in_words(document: Any) -> str:
    """A document in lines: JSON's own signs, such as an escaped line's end, would hide words."""
    lines: list[str] = []
    waiting = [("", document)]
    while waiting:
        name, value = waiting.pop()
        match value:
            case dict():
                lines += [name] if name else []
                waiting += reversed(value.items())
            case list():
                lines += [name] if name else []
                waiting += [("", inside) for inside in reversed(value)]
            case _:
                said = value if isinstance(value, str) else json.dumps_text(value)
                lines.append(f"{name}: {said}" if name else said)
    return "\n".join(lines)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads_strictly(body)
    except json.JsonError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", param=error.path or None) from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    return document
