"""The most tokens that a call can have, from its request."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from msgspec.structs import replace

from app.converse.call import Mode
from app.execution.operations.operation import Operation
from app.governance.holds.bounds import CallBounds, bounds_of_body, bounds_of_size
from app.governance.holds.media_sizes import may_have_media, size_of
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.planner import Target
from app.wire import json

# of a model whose longest answer is not known
_MAX_OUTPUT = 128_000
# members of a caller's own body that limit the answer, of all formats
_LENGTHS = (
    ("max_tokens",),
    ("inferenceConfig", "maxTokens"),
    ("inferenceConfig", "max_new_tokens"),
    ("textGenerationConfig", "maxTokenCount"),
    ("max_gen_len",),
    ("max_tokens_to_sample",),
)
# a summary of the conversation is another run of the model on it
_COMPACTION = b'"compact_'


def quick_bounds_of(operation: Operation[Any], body: bytes, target: Target, *, reads: bool) -> CallBounds | None:
    """Return the bounds of a call by the bytes of its body; None if it has to be read.

    Args:
        reads: read a caller's own body for the length that it requests; else the model's longest answer counts.
    """
    if may_have_media(body) or (reads and operation.mode is Mode.PASSTHROUGH):
        return None
    bounds = bounds_of_body(len(body), _max_output(target, operation.max_tokens), has_tools=body.find(b'"tool') >= 0)
    return bounds if body.find(_COMPACTION) < 0 else CallBounds(2 * bounds.input, 2 * bounds.output)


async def bounds_of(operation: Operation[Any], body: bytes, target: Target, caller: str) -> CallBounds:
    """Return the bounds of a call with media, or of a caller's own body."""
    is_own = operation.mode is Mode.PASSTHROUGH
    read = partial(_read, body, target, operation.max_tokens, is_own=is_own)
    return read() if len(body) <= MAX_LOOP_BYTES else await off_loop(caller, len(body), read)


def _read(body: bytes, target: Target, max_tokens: object, *, is_own: bool) -> CallBounds:
    try:
        document = json.loads(body)
    except json.JsonError:
        # Bedrock refuses it, or it is of a format that is not known
        document = None
    if is_own:
        found = [_member(document, path) for path in _LENGTHS]
        lengths = [each for each in found if each is not None]
        # several may be of two formats, of which the model reads one
        max_tokens = max(lengths) if lengths and all(type(each) is int and each >= 1 for each in lengths) else None
    size = size_of(body, document)
    return bounds_of_size(replace(size, runs=2) if _COMPACTION in body else size, _max_output(target, max_tokens))


def _max_output(target: Target, max_tokens: object) -> int:
    """Return the longest answer: the length that is requested, but not more than the model can write.

    A value that is no length limits nothing.
    """
    longest = target.capabilities.max_output
    if not target.capabilities.output.text:
        return 0
    if type(max_tokens) is int and 1 <= max_tokens <= longest:
        return max_tokens
    return longest if longest != sys.maxsize else _MAX_OUTPUT


def _member(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document
