"""A request and its answer in OpenAI's own words, where Bedrock serves them: changed as little as can be.

What is changed: the model's name; where the answer is kept, which is here, by caller, and not at Bedrock, by account;
thoughts, sealed for this caller and this model; tools in a namespace, which Bedrock refuses (litellm#38489); and ids of
calls that repeat from answer to answer (recordings bedrock_mantle reused_tool_call_ids).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.converse.usage import Usage
from app.dialects.openai_errors import words_of
from app.dialects.openai_responses.seal import Seal
from app.dialects.openai_responses.tools import flat_name
from app.errors import GatewayError, UpstreamFailed
from app.kit import json
from app.kit.sse import named_frame

LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
_CALLS = ("function_call", "custom_tool_call")
_ELSEWHERE = frozenset({"background", "model", "previous_response_id", "store"})
_KIND = re.compile(r"[a-z_.]{1,100}\Z")
_REPEATING = re.compile(r"call_[0-9]+\Z")
_SEALED = "encryptedContent"


@dataclass(frozen=True, slots=True)
class NativeFacts:
    """What an answer must be told by that its caller knows and Bedrock does not.

    model: as the caller named it. document: the request. seal: closes thoughts. namespaces: of tools, by flat names.
    """

    model: str
    document: dict[str, Any]
    seal: Seal
    namespaces: dict[str, tuple[str, str]] = field(default_factory=dict)

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """A response object as its caller knows it."""
        echo = {name: self.document[name] for name in ("tools", "tool_choice") if self.document.get(name) is not None}
        return {
            **response,
            "model": self.model,
            "previous_response_id": self.document.get("previous_response_id"),
            "store": self.document.get("store") is not False,
            **echo,
            "output": [self.item(item) for item in response.get("output") or ()],
        }

    def item(self, item: dict[str, Any]) -> dict[str, Any]:
        """An item of an answer."""
        if item.get("type") in _CALLS:
            item = {**item, "call_id": _unique(item.get("call_id"), item.get("id"))}
            namespace, name = self.namespaces.get(item.get("name", ""), (None, ""))
            return item if namespace is None else {**item, "name": name, "namespace": namespace}
        if item.get("type") == "reasoning" and item.get("encrypted_content"):
            thought: Any = {_SEALED: item["encrypted_content"]}
            return {**item, "encrypted_content": self.seal.close(thought)}
        return item


def _unique(call_id: Any, item_id: Any) -> Any:
    repeats = isinstance(call_id, str) and _REPEATING.match(call_id) and isinstance(item_id, str)
    return f"{call_id}_{item_id}"[:64] if repeats else call_id


def to_native(
    document: dict[str, Any], items: Sequence[tuple[str, Any]], seal: Seal
) -> tuple[dict[str, Any], dict[str, tuple[str, str]], list[str]]:
    """The body that Bedrock gets, the namespaces of its tools, and the paths of what does not reach it.

    Args:
        items: all items of the conversation, each with its path. seal: opens thoughts.
    """
    body = {name: value for name, value in document.items() if name not in _ELSEWHERE}
    body["store"] = False
    ignored: list[str] = []
    body["input"] = [made for path, item in items if (made := _item(item, path, seal, ignored)) is not None]
    namespaces: dict[str, tuple[str, str]] = {}
    if isinstance(document.get("tools"), list):
        body["tools"] = [flat for tool in document["tools"] for flat in _flat(tool, namespaces)]
    if isinstance(document.get("tool_choice"), dict):
        body["tool_choice"] = _choice(document["tool_choice"], namespaces)
    return body, namespaces, ignored


def _item(item: Any, path: str, seal: Seal, ignored: list[str]) -> Any:
    if not isinstance(item, dict):
        return item
    if item.get("type") == "reasoning" and item.get("encrypted_content"):
        opened: Any = seal.open(str(item["encrypted_content"])) or {}
        if _SEALED in opened:
            return {**item, "encrypted_content": opened[_SEALED]}
        ignored.append(f"{path}.encrypted_content")
        return None
    if item.get("type") in _CALLS and item.get("namespace"):
        return _without_namespace(item)
    return item


def _without_namespace(named: dict[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in named.items() if name != "namespace"}
    return {**flat, "name": flat_name(str(named["namespace"]), str(named.get("name", "")))}


def _flat(tool: Any, namespaces: dict[str, tuple[str, str]]) -> list[Any]:
    if not isinstance(tool, dict) or tool.get("type") != "namespace" or not isinstance(tool.get("tools"), list):
        return [tool]
    outer, flat = str(tool.get("name", "")), []
    for inner in tool["tools"]:
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            name = flat_name(outer, inner["name"])
            namespaces[name] = (outer, inner["name"])
            flat.append({**inner, "name": name})
        else:
            flat.append(inner)
    return flat


def _choice(choice: dict[str, Any], namespaces: dict[str, tuple[str, str]]) -> dict[str, Any]:
    if isinstance(choice.get("tools"), list):
        chosen: list[Any] = []
        for tool in choice["tools"]:
            if isinstance(tool, dict) and tool.get("type") == "namespace":
                within = [flat for flat, (outer, _) in namespaces.items() if outer == tool.get("name")]
                chosen += [{"type": "function", "name": flat} for flat in within]
            else:
                chosen.append(_choice(tool, namespaces) if isinstance(tool, dict) else tool)
        return {**choice, "tools": chosen}
    return _without_namespace(choice) if choice.get("namespace") else choice


def usage_of(document: dict[str, Any]) -> Usage | None:
    """The tokens that a response, or an event with one, tells of."""
    inside = document.get("response")
    usage = (inside if isinstance(inside, dict) else document).get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("input_tokens_details") or {}
    read, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    return Usage(
        input=max((usage.get("input_tokens") or 0) - read - written, 0),
        output=usage.get("output_tokens") or 0,
        cache_read=read,
        cache_write=written,
        reasoning=(usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def from_document(document: dict[str, Any], facts: NativeFacts) -> dict[str, Any]:
    """The response as its caller knows it.

    Raises:
        UpstreamFailed: it is none, or the model failed.
    """
    if document.get("object") != "response" or not isinstance(document.get("id"), str):
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no response")
    if document.get("status") == "failed":
        raise _failure(document)
    return facts.response(document)


def _failure(response: dict[str, Any]) -> UpstreamFailed:
    error = response.get("error") or {}
    return UpstreamFailed(str(error.get("message") or "the model failed"), detail=str(error.get("code", "")))


class NativeResponseStream:
    """Passes one stream on."""

    def __init__(self, facts: NativeFacts) -> None:
        self._facts = facts
        self._number = -1
        self._response: dict[str, Any] = {"object": "response", "output": []}
        self._last: dict[str, Any] | None = None

    def from_documents(self, documents: Iterable[dict[str, Any]]) -> bytes:
        """The frames for a batch of OpenAI's events; the one that ends the response waits for it to be kept."""
        return b"".join(frame for document in documents for frame in self._frames(document))

    def ended(self) -> dict[str, Any]:
        """The response object of a stream that has come to its end.

        Raises:
            UpstreamFailed: the model failed.
        """
        if self._last is None or self._last["type"] == "response.failed":
            raise _failure(self._response)
        return self._response

    def last(self, response: dict[str, Any]) -> bytes:
        """The frame that ends a stream which ended well."""
        return _frame({**(self._last or {}), "response": response})

    def fail(self, error: GatewayError) -> bytes:
        """The end of a stream that broke."""
        detail = {"code": words_of(error)[1] or "server_error", "message": error.message}
        response = {**self._response, "status": "failed", "error": detail}
        return _frame({"type": "response.failed", "sequence_number": self._number + 1, "response": response})

    def _frames(self, document: dict[str, Any]) -> Iterable[bytes]:
        match document:
            case {"response": dict(response)}:
                self._response = self._facts.response(response)
                document = {**document, "response": self._response}
            case {"item": dict(item)}:
                document = {**document, "item": self._facts.item(item)}
            case {"name": str(name)} if name in self._facts.namespaces:
                document = {**document, "name": self._facts.namespaces[name][1]}
        if document["type"] in LAST:
            self._last = document
            return
        self._number = document.get("sequence_number", self._number + 1)
        yield _frame(document)


def _frame(document: dict[str, Any]) -> bytes:
    kind = document["type"]
    if not _KIND.match(kind):
        raise TypeError
    return named_frame(kind, json.dumps(document))
