"""Collects the content of a request that its guardrail would not check by itself, for ApplyGuardrail.

AWS documents that the guardrails of Converse do not check tool results, tool arguments, tool definitions (user guide,
guardrails with Converse, 2026-11) and reasoning (the same, guardrails). Of other content that is not the text of a
message, AWS does not document that they do. Tool definitions are checked by nothing (docs/guardrails.md).
"""

import contextlib
import re
from base64 import b64decode
from collections.abc import Iterator

from app.errors import InvalidRequest
from app.wire import json
from app.wire.json import JsonObject

_IMAGES = ("png", "jpeg")
# documents of other formats would have to be parsed
_TEXTS = ("txt", "md", "csv", "html")
# members that hold or refer to media, of requests for embeddings (AWS user guide: Titan, Cohere, Nova, Marengo), of
# requests for images (the same: Nova Canvas, Stability) and of chats
_MEDIA = re.compile(
    r"(?i)(.*(audio|images?|videos?|image_url)|document|file|file_data|mediaSource|s3Location|source)\Z"
)
# media in a field of another name; tried at the beginning of each run of letters only, so that the time stays linear
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{1024}")
# blocks of messages and of the system prompt that hold no content, that Converse's guardrails check, or define tools
_LEFT_TO_BEDROCK = frozenset({"audio", "cachePoint", "image", "text", "toolAddition", "toolRemoval", "video"})
# model-specific fields that select how to answer and carry no content; and definitions of tools
_SETTINGS = frozenset(
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
_UNCHECKABLE = "the guardrail of this deployment cannot look at this"
MARKED = "would keep what is not marked from the guardrail of this deployment"

# a content block of ApplyGuardrail
GuardrailBlock = JsonObject


def text_block(text: str) -> GuardrailBlock:
    """Return a text as a content block."""
    return {"text": {"text": text}}


def texts_in(value: object, path: tuple[str, ...] = ()) -> Iterator[GuardrailBlock]:
    """Yield every text in the body of a request.

    Raises:
        InvalidRequest: the body holds media.
    """
    match value:
        case str():
            if _ENCODED.search(value):
                raise InvalidRequest(_UNCHECKABLE, param=".".join(path) or None)
            yield text_block(value)
        case dict():
            for name, inside in value.items():
                if inside and _MEDIA.match(name):
                    raise InvalidRequest(_UNCHECKABLE, param=".".join((*path, name)))
                yield from texts_in(inside, (*path, name))
        case list():
            for inside in value:
                yield from texts_in(inside, path)


def unchecked_in(body: JsonObject) -> list[GuardrailBlock]:
    """Return the content of a Converse request that its guardrail would not check.

    Raises:
        InvalidRequest: there is content that no guardrail can check, or that the caller marked with `guardContent`.
    """
    for path, name, _ in _blocks(body.get("system"), "system"):
        if name not in _LEFT_TO_BEDROCK:
            raise InvalidRequest(_UNCHECKABLE, param=path)
    unchecked: list[GuardrailBlock] = []
    for index, message in enumerate(_list(body.get("messages"), "messages")):
        if not isinstance(message, dict):
            raise InvalidRequest("must be an object", param=f"messages[{index}]")
        for path, name, value in _blocks(message.get("content"), f"messages[{index}].content"):
            unchecked += _in_message(path, name, value)
    unchecked.append(text_block(_as_lines(body.get("promptVariables") or {})))
    fields = body.get("additionalModelRequestFields") or {}
    if not isinstance(fields, dict):
        raise InvalidRequest("must be an object", param="additionalModelRequestFields")
    for name, value in fields.items():
        if name not in _SETTINGS and not isinstance(value, int | float | None):
            raise InvalidRequest(_UNCHECKABLE, param=f"additionalModelRequestFields.{name}")
    return [each for each in unchecked if each != text_block("")]


def _list(value: object, path: str) -> list[object]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise InvalidRequest("must be a list", param=path)


def _blocks(blocks: object, path: str) -> Iterator[tuple[str, str, object]]:
    """Yield the path of each block, and its member; a second member could hide content that the model reads."""
    for index, block in enumerate(_list(blocks, path)):
        if not isinstance(block, dict) or len(block) != 1:
            raise InvalidRequest("must be an object with exactly one member", param=f"{path}[{index}]")
        ((name, value),) = block.items()
        if name == "guardContent":
            raise InvalidRequest(MARKED, param=f"{path}[{index}].guardContent")
        yield f"{path}[{index}]", name, value


def _in_message(path: str, name: str, value: object) -> Iterator[GuardrailBlock]:
    """Yield the content of a message's block that is to be checked."""
    match name, value:
        case "toolResult", dict():
            yield text_block(_as_lines(value.get("type", "")))
            for inside, part, content in _blocks(value.get("content"), f"{path}.toolResult.content"):
                yield _in_tool_result(part, content, inside)
        case "toolUse", dict():
            yield text_block(_as_lines(value.get("input")))
        case "reasoningContent", {"reasoningText": {"text": str(text)}, **rest} if not rest:
            yield text_block(text)
        case "reasoningContent", {"redactedContent": _, **rest} if not rest:
            pass
        case "citationsContent" | "searchResult", dict():
            yield text_block(_as_lines(value))
        case "document", {"source": {"bytes": _} | {"s3Location": _} as source, **more} if len(source) == 1:
            yield text_block(_as_lines(more))
        case "document", {"source": {"text": _} | {"content": _} as source} if len(source) == 1:
            yield text_block(_as_lines(value))
        case _ if name not in _LEFT_TO_BEDROCK:
            raise InvalidRequest(_UNCHECKABLE, param=path)


def _in_tool_result(name: str, value: object, path: str) -> GuardrailBlock:
    """Return a part of a tool result as a content block.

    Raises:
        InvalidRequest: a guardrail cannot check it.
    """
    match name, value:
        case "text", str():
            return text_block(value)
        case ("json", _) | ("searchResult", dict()):
            return text_block(_as_lines(value))
        case "image", {"format": kind, "source": {"bytes": data, **others}, **more} if not others and not more:
            if kind in _IMAGES:
                return {"image": {"format": kind, "source": {"bytes": data}}}
        case "document", {"format": kind, "source": {"bytes": str(data), **others}, **more} if not others:
            if kind in _TEXTS:
                with contextlib.suppress(ValueError):
                    text = b64decode(data, validate=True).decode()
                    if "\0" not in text:  # which would be another encoding
                        return text_block(f"{_as_read(text) if kind == 'html' else text}\n{_as_lines(more)}")
        case "document", {"source": {"text": _} | {"content": _} as source} if len(source) == 1:
            return text_block(_as_lines(value))
    raise InvalidRequest(_UNCHECKABLE, param=path)


def _as_read(page: str) -> str:
    """Return the source of an HTML page and its text: references and tags inside a word would hide it."""
    from html import unescape  # its table of names takes 0.3 MB

    source = unescape(page)
    text = unescape(_TAG.sub("", page))
    return source if text == source else f"{source}\n{text}"


def _as_lines(document: object) -> str:
    """Return a JSON document as lines of `name: value`: JSON's own escapes, such as of a line end, would hide words."""
    lines: list[str] = []
    waiting: list[tuple[str, object]] = [("", document)]
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
                text = value if isinstance(value, str) else json.dumps_text(value)
                lines.append(f"{name}: {text}" if name else text)
    return "\n".join(lines)
