"""Counts the tokens of a request without sending it: by Bedrock, or as an estimate."""

from collections.abc import Callable
from typing import Any

from app.converse.call import Surface
from app.dialects.http.responses import Headers
from app.errors import (
    ConnectTimeout,
    GatewayError,
    IdentityRefused,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    PermissionRefused,
    UpstreamUnreachable,
)
from app.execution.executor import Executor
from app.execution.operations.operation import Operation
from app.execution.request_context import RequestContext
from app.routing.planner import Target
from app.wire import json

# of English text, about
_LETTERS_A_TOKEN = 4
_LONGEST_HEAD = 200  # of a data: URL
_FIELDS_OF_MEDIA = frozenset({"url", "image_url", "file_data"})  # in any other field a data: URL is text
_TOKENS_OF_MEDIA = 1600  # of an image of a million pixels
_ESTIMATED: Headers = (("x-outcrop-estimated", "input_tokens"),)


# a deployment may lack the permission for mantle, its region mantle itself
_MANTLE_MISSING = (PermissionRefused, NotFound, IdentityRefused, UpstreamUnreachable, ConnectTimeout)


class CountNotSupported(InvalidRequest):
    """The target gets the request in a format that Bedrock's CountTokens does not accept."""


async def count_tokens(
    executor: Executor,
    context: RequestContext,
    name: str,
    operation_for: Callable[[Target], Operation[int]],
    document: object,
) -> tuple[int, Headers]:
    """Return the tokens of a request, and a header if they are estimated.

    Args:
        name: the model's, as the caller used it. operation_for: the operation that counts at a target; raises
            CountNotSupported if there is none. document: what is estimated.

    Raises:
        GatewayError: as `Executor.run` does, unless Bedrock does not count for the model.
    """
    try:
        return await executor.run(context, name, operation_for), ()
    except GatewayError as error:
        is_on_mantle = context.record.surface is Surface.MANTLE
        if not (_does_not_count(error) or (is_on_mantle and isinstance(error, _MANTLE_MISSING))):
            raise
        return estimate_tokens(document), _ESTIMATED


def estimate_tokens(value: Any) -> int:
    """Estimate the tokens of a body: a quarter of its letters, and a fixed number for each image or document."""
    match value:
        case {"type": "tool_use", "input": given}:  # arguments are text, whatever they look like
            rest = {name: inside for name, inside in value.items() if name != "input"}
            return estimate_tokens(rest) + estimate_tokens(json.dumps_text(given))
        case {"type": "base64", "data": _} | {"type": "input_file", "file_data": str()}:
            return _TOKENS_OF_MEDIA
        case dict():
            return sum(len(name) // _LETTERS_A_TOKEN + _tokens_in(name, inside) for name, inside in value.items())
        case list():
            return sum(map(estimate_tokens, value))
        case _:
            return -(-len(str(value)) // _LETTERS_A_TOKEN)


def _tokens_in(name: str, value: object) -> int:
    head = value[:_LONGEST_HEAD].lower() if name in _FIELDS_OF_MEDIA and isinstance(value, str) else ""
    if head.startswith("data:") and ";base64," in head:
        return _TOKENS_OF_MEDIA
    return estimate_tokens(value)


def _does_not_count(error: GatewayError) -> bool:
    """Tell whether Bedrock does not count for the model (recording anthropic_bedrock_count_tokens_error).

    Bedrock's error has no `param`. An error of ours has one, and may mention an inference profile too.
    """
    if not isinstance(error, InvalidRequest | ModelNotFound):
        return False
    words = error.message.lower() if error.param is None else ""
    return isinstance(error, CountNotSupported) or "counting tokens" in words or "inference profile" in words
