"""Rewrites items of a conversation that a surface does not accept, as Codex and other agents send them.

An item becomes messages or function calls, its tools are declared with the request's own, or it is dropped and named.

Sources: openai 3.57, ResponseInputItemParam; litellm#36528, #38227, #38489 and envoyproxy/ai-gateway#2586 for what
Bedrock refuses ("Invalid 'input': value did not match any expected variant").
"""

import re
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from app.wire import json
from app.wire.documents import text_in
from app.wire.json import JsonObject

# the items that every surface accepts
PLAIN_ITEMS = frozenset(
    {
        "",
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "reasoning",
        "item_reference",
    }
)
# texts that OpenAI encrypted are Fernet tokens, whose first byte is 0x80
_CIPHERTEXT = re.compile(r"gAAAA[A-Za-z0-9_-]{20,}={0,2}\Z")
_ROLES = ("assistant", "developer", "system", "user")
_INDEX = re.compile(r"(input|tools)\[([0-9]+)\]")

Paths = Sequence[tuple[str, object]]


class Conversation(Struct, frozen=True):
    """The items that a surface accepts, each with its path in the request.

    tools: what the items declare, each with its path. ignored: the paths of the items that were dropped.
    """

    items: list[tuple[str, object]]
    tools: list[tuple[str, object]]
    ignored: list[str]


class DeclaredTools(Struct, frozen=True):
    """The tools of a request and of its items. paths: of each in the request."""

    tools: list[object]
    paths: list[str]


def rewrite_items(items: Paths, accepted: frozenset[str] = PLAIN_ITEMS) -> Conversation:
    """Rewrite the items whose type is not `accepted`. items: each with its path in the request."""
    calls = _Calls(item for _, item in items if isinstance(item, dict))
    kept: list[tuple[str, object]] = []
    tools: list[tuple[str, object]] = []
    ignored: list[str] = []
    for path, item in items:
        kind = text_in(item, "type")
        if not isinstance(item, dict) or kind in accepted:
            kept.append((path, item))
            continue
        declared = item.get("tools")
        if kind in _DECLARING and isinstance(declared, list):
            tools += [(f"{path}.tools[{index}]", tool) for index, tool in enumerate(declared)]
        if kind == "context_compaction" and "compaction" in accepted and item.get("encrypted_content"):
            made = [{**item, "type": "compaction"}]
        else:
            made = _REWRITERS.get(kind, _unknown)(item, calls)
        kept += [(path, each) for each in made]
        if not made and kind not in _DECLARING:
            ignored.append(path)
    return Conversation(kept, tools, ignored)


def declare_tools(declared: Sequence[object], added: Paths) -> DeclaredTools:
    """Return the tools of a request with those that its items add.

    A tool that is declared already is left out. Of several added ones with one name the last is taken.
    """
    names = {name for tool in declared for name in _names_in(tool)}
    chosen: list[tuple[str, object]] = []
    for path, tool in reversed(added):
        if left := _without_declared(tool, names):
            chosen.append((path, left))
            names.update(_names_in(left))
    chosen.reverse()
    paths = [f"tools[{index}]" for index in range(len(declared))]
    return DeclaredTools([*declared, *[tool for _, tool in chosen]], [*paths, *[path for path, _ in chosen]])


def original_path(path: str, items: Sequence[str], tools: Sequence[str]) -> str:
    """Return the caller's path for a path in the rewritten request. items, tools: the caller's paths by index."""
    match = _INDEX.match(path)
    if match is None:
        return path
    paths, index = items if match[1] == "input" else tools, int(match[2])
    return paths[index] + path[match.end() :] if index < len(paths) else path


def _names_in(tool: object) -> Iterable[tuple[str, str, str]]:
    """Yield what distinguishes a tool from others; for a namespace, what distinguishes each tool in it."""
    kind, name = text_in(tool, "type"), text_in(tool, "name")
    if isinstance(tool, dict) and kind == "namespace" and isinstance(tool.get("tools"), list):
        return [("namespace", name, text_in(inner, "name")) for inner in tool["tools"]]
    return [("", name, "") if name else (kind, text_in(tool, "server_label"), "")]


def _without_declared(tool: object, names: set[tuple[str, str, str]]) -> object:
    """Return a tool, or the rest of a namespace, that is not declared yet; None if nothing is left."""
    if isinstance(tool, dict) and text_in(tool, "type") == "namespace" and isinstance(tool.get("tools"), list):
        outer = text_in(tool, "name")
        inside = [each for each in tool["tools"] if ("namespace", outer, text_in(each, "name")) not in names]
        return {**tool, "tools": inside} if inside else None
    return None if names.issuperset(_names_in(tool)) else tool


class _Calls:
    """The ids of the calls that have an output.

    An output of a local shell has the id of the call's item; the call's own id is another member.
    """

    def __init__(self, items: Iterable[JsonObject]) -> None:
        self._ids: dict[str, str] = {}
        answered: set[str] = set()
        for item in items:
            kind = text_in(item, "type")
            if kind == "local_shell_call" and text_in(item, "id"):
                self._ids[text_in(item, "id")] = text_in(item, "call_id") or text_in(item, "id")
            elif "output" in item or kind.endswith("_output"):
                answered.add(text_in(item, "call_id") or text_in(item, "id"))
        self._answered = {self._ids.get(call_id, call_id) for call_id in answered}

    def call(self, call_id: str, name: str, arguments: object) -> list[JsonObject]:
        """Return a call of a function; nothing if nobody answered it, since no model accepts such a call."""
        if not call_id or call_id not in self._answered:
            return []
        return [{"type": "function_call", "call_id": call_id, "name": name, "arguments": _document(arguments)}]

    def output(self, item: JsonObject, output: object) -> list[JsonObject]:
        """Return the output of a call."""
        named = text_in(item, "call_id") or text_in(item, "id")
        if not named:
            return []
        return [{"type": "function_call_output", "call_id": self._ids.get(named, named), "output": output}]


def _document(arguments: object) -> str:
    """Return the arguments of a call as a JSON object in a text."""
    if isinstance(arguments, str):
        return arguments
    return json.dumps_text(arguments if isinstance(arguments, dict) else {})


def _text(value: object) -> str:
    """Return the texts in a content, one a line; other values as JSON."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return "" if value is None else json.dumps_text(value)
    texts = [part if isinstance(part, str) else _text_of_part(part) for part in value]
    return "\n".join(text for text in texts if text)


def _text_of_part(part: object) -> str:
    text = text_in(part, "text") or text_in(part, "encrypted_content")
    return "" if _CIPHERTEXT.match(text) else text


def _agent_message(item: JsonObject, _: _Calls) -> list[JsonObject]:
    """Return the message of another agent. Codex puts plain text into `encrypted_content` too (litellm#38227)."""
    text = _text(item.get("content"))
    author, recipient = text_in(item, "author") or "another agent", text_in(item, "recipient") or "this agent"
    return _message("user", f"Message from {author} to {recipient}:\n{text}") if text else []


def _message(role: str, text: str) -> list[JsonObject]:
    return [{"type": "message", "role": role, "content": text}]


def _local_shell_call(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    return calls.call(text_in(item, "call_id") or text_in(item, "id"), "local_shell", item.get("action"))


def _shell_call(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    return calls.call(text_in(item, "call_id"), "shell", item.get("action"))


def _apply_patch_call(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    return calls.call(text_in(item, "call_id"), "apply_patch", item.get("operation"))


def _computer_call(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    actions = item.get("actions")
    return calls.call(text_in(item, "call_id"), "computer", {"actions": actions} if actions else item.get("action"))


def _tool_search_call(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    return calls.call(text_in(item, "call_id"), "tool_search", item.get("arguments"))


def _program(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    return calls.call(text_in(item, "call_id"), "program", {"code": item.get("code")})


def _output(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    output = item.get("output", item.get("result"))
    return calls.output(item, _text(output) or text_in(item, "status"))


def _shell_output(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    pieces = item.get("output")
    if not isinstance(pieces, list):
        return _output(item, calls)
    lines = [text_in(piece, name) for piece in pieces for name in ("stdout", "stderr")]
    lines += [_text(piece["outcome"]) for piece in pieces if isinstance(piece, dict) and piece.get("outcome")]
    return calls.output(item, "\n".join(line for line in lines if line))


def _screenshot(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    output = item.get("output")
    image = text_in(output, "image_url")
    return calls.output(item, [{"type": "input_image", "image_url": image}] if image else _text(output))


def _tool_search_output(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    found = item.get("tools")
    names = [text_in(tool, "name") for tool in found] if isinstance(found, list) else []
    return calls.output(item, "tools found: " + ", ".join(names)) if text_in(item, "call_id") else []


def _mcp_call(item: JsonObject, _: _Calls) -> list[JsonObject]:
    """Return a call that a server of the Model Context Protocol answered, and its answer."""
    answer = item.get("output") if item.get("output") is not None else item.get("error")
    call_id, name = text_in(item, "id"), text_in(item, "name")
    if answer is None or not call_id or not name:
        return []
    label = text_in(item, "server_label")
    call = {"call_id": call_id, "name": f"{label}__{name}" if label else name}
    return [
        {"type": "function_call", **call, "arguments": _document(item.get("arguments"))},
        {"type": "function_call_output", "call_id": call_id, "output": _text(answer)},
    ]


def _unknown(item: JsonObject, calls: _Calls) -> list[JsonObject]:
    """Return what an item of an unknown type says, by its members."""
    call_id, name = text_in(item, "call_id"), text_in(item, "name")
    if call_id and "output" in item:
        return calls.output(item, _text(item["output"]))
    if call_id and name:
        return calls.call(call_id, name, item.get("arguments", item.get("input")))
    role = text_in(item, "role")
    text = _text(item["content"]) if isinstance(item.get("content"), str | list) else ""
    return _message(role if role in _ROLES else "user", text) if text else []


_DECLARING = frozenset({"additional_tools", "tool_search_output"})
_REWRITERS: dict[str, Callable[[JsonObject, _Calls], list[JsonObject]]] = {
    "agent_message": _agent_message,
    "local_shell_call": _local_shell_call,
    "local_shell_call_output": _output,
    "shell_call": _shell_call,
    "shell_call_output": _shell_output,
    "apply_patch_call": _apply_patch_call,
    "apply_patch_call_output": _output,
    "computer_call": _computer_call,
    "computer_call_output": _screenshot,
    "tool_search_call": _tool_search_call,
    "tool_search_output": _tool_search_output,
    "mcp_call": _mcp_call,
    "program": _program,
    "program_output": _output,
}
