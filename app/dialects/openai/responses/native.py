"""Passes requests and responses of a surface that speaks Responses. It changes little.

- The model has the caller's name for it.
- Responses are stored here, by caller, and not at Bedrock, by account.
- Reasoning is signed for this caller and this model.
- Tools in a namespace, which Bedrock refuses (litellm#38489), are flattened.
- Ids of calls are unique across responses (recordings bedrock_mantle reused_tool_call_ids).
- Calls that were cut off are left out: no model accepts them.
"""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct, field

from app.converse.openai_documents import unique_call_id
from app.dialects.openai.common.errors import type_and_code_of
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.request_members import request_members
from app.dialects.openai.responses.tools import Namespaces, ToolChoiceResolver, flat_name
from app.errors import GatewayError, InvalidRequest, UpstreamFailed
from app.wire import json
from app.wire.documents import text_in
from app.wire.json import JsonObject
from app.wire.sse import named_frame

LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
_ENDED = ("completed", "incomplete")
_CALLS = ("function_call", "custom_tool_call")
_OF_NAMESPACES = ("type", "name", "tools")
_ELSEWHERE = frozenset({"background", "model", "previous_response_id", "store"})
_KIND = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")
# what Bedrock repeats with the names that it was sent
_REPEATED = ("tools", "tool_choice")
_SIGNED = "encryptedContent"


class NativeResponseContext(Struct, frozen=True):
    """What a response holds that Bedrock does not know.

    model: as the caller named it. document: the request. signer: signs reasoning. namespaces: of tools, by flat names.
    is_kept: the response is to be stored.
    """

    model: str
    document: JsonObject
    signer: ReasoningSigner
    namespaces: Namespaces = field(default_factory=dict)
    is_kept: bool = True

    def response(self, response: JsonObject) -> JsonObject:
        """Return a response object for the caller, with the members that Bedrock leaves out for some models."""
        members = request_members(self.document)
        missing = {name: value for name, value in members.items() if response.get(name) is None}
        if isinstance(response.get("created_at"), float):  # of gpt-oss
            missing["created_at"] = int(response["created_at"])
        if "completed_at" in missing and response.get("status") == "completed":
            missing["completed_at"] = int(time.time())
        repeated = {name: members[name] for name in _REPEATED if self.document.get(name) is not None}
        return {
            **response,
            **missing,
            **repeated,
            "model": self.model,
            "previous_response_id": members["previous_response_id"],
            "store": self.is_kept,
            "output": [self.item(item) for item in response.get("output") or ()],
        }

    def item(self, item: JsonObject) -> JsonObject:
        """Return an item of a response for the caller."""
        if "call_id" in item:
            item = {**item, "call_id": unique_call_id(item["call_id"], item.get("id"))}
        if text_in(item, "type") in _CALLS:
            namespace, name = self.namespaces.get(text_in(item, "name"), (None, ""))
            return item if namespace is None else {**item, "name": name, "namespace": namespace}
        if item.get("type") == "reasoning" and item.get("encrypted_content"):
            reasoning: Any = {_SIGNED: item["encrypted_content"]}
            return {**item, "encrypted_content": self.signer.close(reasoning)}
        return item


def to_native(
    document: JsonObject, items: Sequence[tuple[str, object]], signer: ReasoningSigner
) -> tuple[JsonObject, Namespaces, list[str], list[str]]:
    """Return the body for Bedrock, the namespaces of its tools, the path of each tool, and the ignored paths.

    Args:
        items: all items of the conversation, each with its path. signer: reads reasoning.

    Raises:
        InvalidRequest: a namespace that cannot be flattened, with the path of the field.
    """
    body = {name: value for name, value in document.items() if name not in _ELSEWHERE}
    body["store"] = False
    ignored: list[str] = []
    answered = {text_in(item, "call_id") for _, item in items if isinstance(item, dict) and "output" in item}
    namespaces: Namespaces = {}
    body["input"] = [
        _with_flat_tools(made, path, namespaces, ignored)
        for path, item in items
        for made in _item(item, path, signer, answered, ignored)
    ]
    paths: list[str] = []
    if isinstance(document.get("tools"), list):
        body["tools"], declared_namespaces, paths = _flat_tools(document["tools"], ignored)
        namespaces = {**namespaces, **declared_namespaces}
    if isinstance(document.get("tool_choice"), dict):
        tools = body.get("tools")
        declared = {text_in(tool, "name"): text_in(tool, "type") for tool in tools} if isinstance(tools, list) else {}
        body["tool_choice"] = _choice(document["tool_choice"], namespaces, declared)
    return body, namespaces, paths, ignored


def _with_flat_tools(item: object, path: str, namespaces: Namespaces, ignored: list[str]) -> object:
    """Return an item with the tools that a search found without namespaces, which are added to `namespaces`."""
    if (
        not isinstance(item, dict)
        or item.get("type") != "tool_search_output"
        or not isinstance(item.get("tools"), list)
    ):
        return item
    tools, found, _ = _flat_tools(item["tools"], ignored, f"{path}.tools")
    namespaces.update(found)
    return {**item, "tools": tools}


def _flat_tools(
    tools: list[object], ignored: list[str], base: str = "tools"
) -> tuple[list[object], Namespaces, list[str]]:
    """Return the tools without namespaces, the namespaces by flat name, and the path of each tool."""
    namespaces: Namespaces = {}
    flat = [each for index, tool in enumerate(tools) for each in _flat(tool, f"{base}[{index}]", ignored)]
    plain = {text_in(tool, "name") for _, tool, namespace in flat if namespace is None}
    for path, tool, namespace in flat:
        if namespace is not None:
            name = text_in(tool, "name")
            if name in namespaces or name in plain:
                raise InvalidRequest(f"the tool {name!r} is declared twice", param=path)
            namespaces[name] = namespace
    return [tool for _, tool, _ in flat], namespaces, [path for path, _, _ in flat]


def _item(item: object, path: str, signer: ReasoningSigner, answered: set[str], ignored: list[str]) -> Iterator[object]:
    if not isinstance(item, dict):
        yield item
        return
    # SDKs send back members of a response that are null
    item = {name: value for name, value in item.items() if value is not None}
    if item.get("type") == "reasoning" and item.get("encrypted_content"):
        yield from _reasoning_item(item, path, signer, ignored)
    elif text_in(item, "type") in _CALLS:
        yield from _call_item(item, path, answered, ignored)
    else:
        yield item


def _reasoning_item(item: JsonObject, path: str, signer: ReasoningSigner, ignored: list[str]) -> Iterator[JsonObject]:
    opened: Any = signer.open(str(item["encrypted_content"])) or {}
    if _SIGNED in opened:
        yield {**item, "encrypted_content": opened[_SIGNED]}
        return
    ignored.append(f"{path}.encrypted_content")
    if item.get("content"):
        yield {name: value for name, value in item.items() if name != "encrypted_content"}


def _call_item(item: JsonObject, path: str, answered: set[str], ignored: list[str]) -> Iterator[JsonObject]:
    if item.get("status") == "incomplete" and text_in(item, "call_id") not in answered:
        ignored.append(path)
        return
    if item["type"] == "function_call" and not _is_json(item.get("arguments")):
        ignored.append(f"{path}.arguments")
        item = {**item, "arguments": "{}"}
    yield _without_namespace(item, f"{path}.namespace") if item.get("namespace") else item


def _is_json(text: object) -> bool:
    try:
        return isinstance(text, str) and json.loads(text.encode()) is not ...
    except json.JsonError:
        return False


def _without_namespace(named: JsonObject, path: str) -> JsonObject:
    flat = {name: value for name, value in named.items() if name != "namespace"}
    return {**flat, "name": flat_name(str(named["namespace"]), str(named.get("name", "")), path)}


def _flat(tool: object, path: str, ignored: list[str]) -> Iterator[tuple[str, object, tuple[str, str] | None]]:
    """Yield each tool of a declaration with its path, and its namespace and name if it has one.

    Further members of a namespace have no effect, and are added to `ignored`.
    """
    if not isinstance(tool, dict) or tool.get("type") != "namespace":
        yield path, tool, None
        return
    outer, inside = tool.get("name"), tool.get("tools")
    if not isinstance(outer, str) or not outer or not isinstance(inside, list):
        raise InvalidRequest("a namespace needs a name and tools", param=path)
    ignored += [f"{path}.{name}" for name, said in tool.items() if name not in _OF_NAMESPACES and said is not None]
    for index, inner in enumerate(inside):
        name = inner.get("name") if isinstance(inner, dict) else None
        if not isinstance(name, str) or inner.get("type") == "namespace":
            raise InvalidRequest("a namespace holds tools with names", param=f"{path}.tools[{index}]")
        flat = flat_name(outer, name, f"{path}.name")
        yield f"{path}.tools[{index}]", {**inner, "name": flat}, (outer, name)


def _choice(choice: JsonObject, namespaces: Namespaces, declared: dict[str, str]) -> JsonObject:
    resolver = ToolChoiceResolver(namespaces)
    if isinstance(choice.get("tools"), list):
        chosen = [made for tool in choice["tools"] for made in _chosen(tool, resolver, declared)]
        return {**choice, "tools": chosen}
    made = list(_chosen(choice, resolver, declared))
    if len(made) > 1:
        raise InvalidRequest(f"{choice.get('name')!r} is in several namespaces: say which", param="tool_choice")
    return dict(made[0])


def _chosen(tool: Any, resolver: ToolChoiceResolver, declared: dict[str, str]) -> Iterator[Any]:
    """Yield the tools that one entry of a choice means, by the names that Bedrock knows."""
    name = text_in(tool, "name")
    if not name or (name in declared and not tool.get("namespace") and tool.get("type") != "namespace"):
        yield tool
        return
    namespace = None if tool.get("namespace") is None else text_in(tool, "namespace")
    meant = resolver.resolve(text_in(tool, "type"), namespace, name)
    if meant is None:
        yield _without_namespace(tool, "tool_choice") if tool.get("namespace") else tool
    for flat in meant or ():
        yield {"type": declared.get(flat, "function"), "name": flat}


def from_document(document: JsonObject, response_context: NativeResponseContext) -> JsonObject:
    """Return the response for the caller.

    Raises:
        UpstreamFailed: the document is not a response, or the model failed.
    """
    if document.get("object") != "response" or not isinstance(document.get("id"), str):
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no response")
    if document.get("status") not in _ENDED:
        raise _failure(document)
    return response_context.response(document)


def _failure(response: JsonObject) -> UpstreamFailed:
    error = response.get("error")
    words = error if isinstance(error, dict) else {"message": error}
    return UpstreamFailed(str(words.get("message") or "the model did not answer"), detail=str(words.get("code", "")))


class NativeResponseStream:
    """Passes one stream to the caller."""

    def __init__(self, response_context: NativeResponseContext) -> None:
        self._response_context = response_context
        self._number = 0
        self._response: JsonObject = {"object": "response", "output": []}
        self._last: JsonObject | None = None

    def from_event(self, document: JsonObject) -> bytes:
        """Return the frames for an event. The one that ends the response is held back until the response is stored."""
        return b"".join(self._frames(document))

    def ended(self) -> JsonObject:
        """Return the response object at the end of the stream.

        Raises:
            UpstreamFailed: the model failed.
        """
        is_complete = isinstance(self._response.get("id"), str) and self._response.get("status") in _ENDED
        if self._last is None or not is_complete:
            raise _failure(self._response)
        return self._response

    def last(self, response: JsonObject) -> bytes:
        """Return the frame that ends a stream that succeeded."""
        return self._frame({**(self._last or {}), "response": response})

    def fail(self, error: GatewayError) -> bytes:
        """Return the end of a stream that failed, with the model's own error if it sent one."""
        own = self._response.get("error") if self._last is not None else None
        code = {"code": type_and_code_of(error)[1] or "server_error"}
        # the message of the error is the model's own, without what callers must not see
        detail = {**(own if isinstance(own, dict) else code), "message": error.message}
        response = {**self._response, "status": "failed", "error": detail, "store": False}
        return self._frame({"type": "response.failed", "response": response})

    def _frames(self, document: JsonObject) -> Iterable[bytes]:
        match document:
            case {"response": dict(response)}:
                self._response = self._response_context.response(response)
                document = {**document, "response": self._response}
            case {"item": dict(item)}:
                document = {**document, "item": self._response_context.item(item)}
            case {"name": str(name)} if name in self._response_context.namespaces:
                document = {**document, "name": self._response_context.namespaces[name][1]}
        if document["type"] in LAST:
            self._last = document
        else:
            yield self._frame(document)

    def _frame(self, document: JsonObject) -> bytes:
        """Return the frame, numbered anew: events of Bedrock's and of the gateway's are one sequence."""
        kind = document["type"]
        if not _KIND.match(kind):
            raise TypeError
        numbered = {**document, "sequence_number": self._number}
        self._number += 1
        return named_frame(kind, json.dumps(numbered))
