"""The most tokens that a call can have, from its request."""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import partial
from math import ceil
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from app.adaptation.contents import Contents
from app.converse.call import Mode, Surface
from app.execution.operations.operation import Operation
from app.governance.holds.bounds import CallBounds, CallSize, bounds_of_body, bounds_of_size
from app.governance.holds.media_sizes import may_have_media, size_of
from app.models.output_lengths import CONVERSE, lengths_in, names_of_length
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.planner import Target
from app.wire import json
from app.wire.json import JsonObject

# of a model whose longest answer is not known
_MAX_OUTPUT = 128_000
# how many answers a caller's own body asks for, and the most that a model writes of them
_NUMBERS = ("n", "num_generations", "numResults")
_MAX_ANSWERS = 128
_MORE_FIELDS = "additionalModelRequestFields"
# a summary of the conversation is another run of the model on it
_COMPACTION = b'"compact_'
# tools that Bedrock runs itself, and how often it runs the model for one answer if the caller does not say
_HOSTED_TYPES = ("web_search", "web_fetch", "mcp", "file_search", "code_interpreter", "code_execution")
_HOSTED = (b'"web_', b'"mcp', b'"systemTool"', b'"code_')
_HOSTED_RUNS = 10
# bodies in OpenAI's formats that cross natively
_OF_OPENAI = (Surface.OPENAI, Surface.MANTLE)
_NUMBER, _LENGTH = b'"n":', b'_tokens"'
_READ_BY = {
    Surface.CONVERSE: CONVERSE,
    **dict.fromkeys(_OF_OPENAI, ("max_tokens", "max_completion_tokens", "max_output_tokens")),
}
_TOOLS = (Contents.TOOLS | Contents.TOOL_CALLS | Contents.TOOL_RESULTS).value
# the body is searched for media, for tools that adaptation adds, and for fields of the model's own
_SEARCHED = (
    Contents.OTHER_BLOCKS
    | Contents.DOCUMENTS
    | Contents.VIDEOS
    | Contents.OUTPUT_FORMAT
    | Contents.WEB_SEARCH
    | Contents.MODEL_FIELDS
).value
# it may hide a name from a search in the bytes
_ESCAPE = b"\\u"


class Lengths(Struct, frozen=True):
    """How long the answers of a target can be. largest: that can be requested. usual: where none is."""

    largest: int
    usual: int

    @classmethod
    def of(cls, target: Target) -> Lengths:
        """Return the lengths of a target. Vectors, ranks and images have no tokens."""
        longest = target.capabilities.max_output
        if not target.capabilities.makes_text:
            return cls(0, 0)
        return cls(longest, longest if longest != sys.maxsize else _MAX_OUTPUT)

    def longest(self, max_tokens: object) -> int:
        """Return the longest answer: the length that is requested, but not more than the model can write.

        A value that is not a length limits nothing.
        """
        return max_tokens if type(max_tokens) is int and 1 <= max_tokens <= self.largest else self.usual


def quick_bounds_of(operation: Operation[Any], body: bytes, lengths: Lengths, *, reads: bool) -> CallBounds | None:
    """Return the bounds of a call by the bytes of its body; None if it has to be read.

    Args:
        lengths: of the target. reads: read a caller's own body for the length that it requests; else the model's
            longest answer counts.
    """
    contents, longest = operation.contents, lengths.longest(operation.max_tokens)
    if contents is not None and not contents & _SEARCHED:
        return bounds_of_body(len(body), longest, has_tools=contents & _TOOLS != 0)
    if may_have_media(body) or (reads and _must_be_read(operation, body)):
        return None
    bounds = bounds_of_body(len(body), longest, has_tools=body.find(b'"tool') >= 0)
    return bounds if body.find(_COMPACTION) < 0 else CallBounds(2 * bounds.input, 2 * bounds.output)


def _must_be_read(operation: Operation[Any], body: bytes) -> bool:
    """Return whether a body may name what its bytes do not tell: tools of Bedrock, several answers or lengths."""
    find = body.find
    if operation.mode is Mode.PASSTHROUGH or find(_ESCAPE) >= 0 or any(find(each) >= 0 for each in _HOSTED):
        return True
    return operation.surface in _OF_OPENAI and (find(_NUMBER) >= 0 or body.count(_LENGTH) > 1)


async def bounds_of(operation: Operation[Any], body: bytes, target: Target, caller: str) -> CallBounds:
    """Return the bounds of a call with media, or of a caller's own body."""
    read = partial(_read, body, target, operation.max_tokens, own=_own_surface(operation))
    return read() if len(body) <= MAX_LOOP_BYTES else await off_loop(caller, len(body), read)


def _own_surface(operation: Operation[Any]) -> Surface | None:
    """Return the API that a caller's own body is for; None for a body that the gateway has made."""
    is_own = operation.mode is Mode.PASSTHROUGH or operation.surface in _OF_OPENAI
    return operation.surface if is_own else None


def _read(body: bytes, target: Target, max_tokens: object, *, own: Surface | None) -> CallBounds:
    lengths = Lengths.of(target)
    try:
        document = json.loads(body)
    except json.JsonError:
        # Bedrock refuses it, or it is of a format that is not known
        document = None
    if own and document is not None and _is_ambiguous(body):
        return bounds_of_size(CallSize(len(body), documents=1, runs=2), _MAX_ANSWERS * lengths.usual)
    # without the escapes that may hide a name
    plain = body if document is None or _ESCAPE not in body else json.dumps(document)
    longest = lengths.longest(max_tokens)
    if own:
        document = document if isinstance(document, dict) else {}
        more = document.get(_MORE_FIELDS)
        parts = [document, more] if isinstance(more, dict) else [document]
        read = _READ_BY.get(own) or names_of_length(target.model_behind.base)
        longest = lengths.longest(_largest_length(parts, read)) * max(map(_answers, parts))
    size = size_of(plain, document)
    size = replace(size, runs=2) if _COMPACTION in plain else size
    if runs := _runs_of_hosted_tools(document):
        # what they find is input of the next run, and nobody knows how much it is
        size = replace(size, documents=1, runs=size.runs * runs)
    return bounds_of_size(size, longest)


def _runs_of_hosted_tools(document: Any) -> int:
    """Return how often the model may run because of tools that Bedrock runs itself; 0 without such tools."""
    if not isinstance(document, dict):
        return 0
    more, config = document.get(_MORE_FIELDS), document.get("toolConfig")
    parts = [part for part in (document, more, config) if isinstance(part, dict)]
    tools = [tool for part in parts if isinstance(part.get("tools"), list) for tool in part["tools"]]
    if "web_search_options" not in document and not any(map(_is_hosted, tools)):
        return 0
    calls = document.get("max_tool_calls")
    return 1 + calls if type(calls) is int and 0 <= calls < _MAX_ANSWERS else _HOSTED_RUNS


def _is_hosted(tool: object) -> bool:
    if not isinstance(tool, dict):
        return False
    kind = tool.get("type")
    return "systemTool" in tool or (isinstance(kind, str) and kind.startswith(_HOSTED_TYPES))


def _is_ambiguous(body: bytes) -> bool:
    """Return whether a body has duplicate keys, of which Bedrock may read another one, or too many values to tell."""
    try:
        json.loads_strictly(body)
    except json.JsonError:
        return True
    return False


def _largest_length(parts: list[JsonObject], read: Collection[str]) -> int | None:
    """Return the largest length that a body names; None if one is not a length, or the body itself has none of `read`.

    Several may be of different formats, of which the model reads one. A length that it does not read limits nothing.
    """
    named = [lengths_in(part) for part in parts]
    lengths = [length for each in named for length in each.values()]
    valid = [length for length in lengths if type(length) is int and length >= 1]
    has_one = any(name in read for name in named[0])
    return max(valid) if has_one and len(valid) == len(lengths) else None


def _answers(part: JsonObject) -> int:
    numbers: list[float] = [part[name] for name in _NUMBERS if isinstance(part.get(name), int | float)]
    return ceil(min(max([1, *numbers]), _MAX_ANSWERS))
