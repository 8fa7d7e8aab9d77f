"""The most tokens that a call can have, from its request."""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import partial
from math import ceil
from typing import Any

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


def quick_bounds_of(operation: Operation[Any], body: bytes, target: Target, *, reads: bool) -> CallBounds | None:
    """Return the bounds of a call by the bytes of its body; None if it has to be read.

    Args:
        reads: read a caller's own body for the length that it requests; else the model's longest answer counts.
    """
    contents, longest = operation.contents, _max_output(target, operation.max_tokens)
    if contents is not None and not contents & _SEARCHED:
        return bounds_of_body(len(body), longest, has_tools=contents & _TOOLS != 0)
    if may_have_media(body) or (reads and (operation.mode is Mode.PASSTHROUGH or body.find(_ESCAPE) >= 0)):
        return None
    bounds = bounds_of_body(len(body), longest, has_tools=body.find(b'"tool') >= 0)
    return bounds if body.find(_COMPACTION) < 0 else CallBounds(2 * bounds.input, 2 * bounds.output)


async def bounds_of(operation: Operation[Any], body: bytes, target: Target, caller: str) -> CallBounds:
    """Return the bounds of a call with media, or of a caller's own body."""
    read = partial(_read, body, target, operation.max_tokens, own=_own_surface(operation))
    return read() if len(body) <= MAX_LOOP_BYTES else await off_loop(caller, len(body), read)


def _own_surface(operation: Operation[Any]) -> Surface | None:
    """Return the API that a caller's own body is for; None for a body that the gateway has made."""
    return operation.surface if operation.mode is Mode.PASSTHROUGH else None


def _read(body: bytes, target: Target, max_tokens: object, *, own: Surface | None) -> CallBounds:
    try:
        document = json.loads(body)
    except json.JsonError:
        # Bedrock refuses it, or it is of a format that is not known
        document = None
    if own and document is not None and _is_ambiguous(body):
        return bounds_of_size(CallSize(len(body), documents=1, runs=2), _MAX_ANSWERS * _max_output(target, None))
    # without the escapes that may hide a name
    plain = body if document is None or _ESCAPE not in body else json.dumps(document)
    longest = _max_output(target, max_tokens)
    if own:
        document = document if isinstance(document, dict) else {}
        more = document.get(_MORE_FIELDS)
        parts = [document, more] if isinstance(more, dict) else [document]
        read = CONVERSE if own == Surface.CONVERSE else names_of_length(target.known.base)
        longest = _max_output(target, _largest_length(parts, read)) * max(map(_answers, parts))
    size = size_of(plain, document)
    return bounds_of_size(replace(size, runs=2) if _COMPACTION in plain else size, longest)


def _is_ambiguous(body: bytes) -> bool:
    """Return whether a body has duplicate keys, of which Bedrock may read another one, or too many values to tell."""
    try:
        json.loads_strictly(body)
    except json.JsonError:
        return True
    return False


def _largest_length(parts: list[JsonObject], read: Collection[str]) -> int | None:
    """Return the largest length that a body names; None if one is no length, or the body itself has none of `read`.

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


def _max_output(target: Target, max_tokens: object) -> int:
    """Return the longest answer: the length that is requested, but not more than the model can write.

    A value that is no length limits nothing.
    """
    longest = target.capabilities.max_output
    if not target.capabilities.makes_text:
        return 0
    if type(max_tokens) is int and 1 <= max_tokens <= longest:
        return max_tokens
    return longest if longest != sys.maxsize else _MAX_OUTPUT
