"""Tokens of a request that is not sent, for every dialect that counts: Bedrock's count, or an estimate that says so."""

from collections.abc import Callable
from typing import Any

from app.dialects.http.responses import Headers
from app.errors import GatewayError, InvalidRequest, ModelNotFound
from app.execution.executor import Executor
from app.execution.operations.operation import Operation
from app.execution.request_context import RequestContext
from app.routing.planner import Target
from app.wire import json

# where nobody counts: English text has about four letters a token
_LETTERS_A_TOKEN = 4
_LONGEST_HEAD = 200  # of a data: URL
_FIELDS_OF_MEDIA = frozenset({"url", "image_url", "file_data"})  # anywhere else such a URL is text
_TOKENS_OF_MEDIA = 1600  # what a picture of a million pixels costs
_ESTIMATED: Headers = (("x-outcrop-estimated", "input_tokens"),)


class Uncounted(InvalidRequest):
    """A target gets the request in a format that Bedrock's CountTokens does not take."""


async def counted(
    executor: Executor,
    context: RequestContext,
    name: str,
    operation_for: Callable[[Target], Operation[int]],
    document: Any,
) -> tuple[int, Headers]:
    """The tokens of a request, and the header that says so where they are estimated.

    Args:
        name: the model's, as the caller used it. operation_for: the operation that has a target count;
        raises Uncounted where it cannot be asked. document: what is estimated.

    Raises:
        GatewayError: as `Executor.run` does, except where Bedrock does not count for the model.
    """
    try:
        return await executor.run(context, name, operation_for), ()
    except (InvalidRequest, ModelNotFound) as error:
        if not _does_not_count(error):
            raise
        return estimate_tokens(document), _ESTIMATED


def estimate_tokens(value: Any) -> int:
    """About how many tokens a body has: a quarter of its letters, and a fixed number for each picture or document."""
    match value:
        case {"type": "tool_use", "input": given}:  # whatever it looks like, it is text
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


def _tokens_in(name: str, value: Any) -> int:
    head = value[:_LONGEST_HEAD].lower() if name in _FIELDS_OF_MEDIA and isinstance(value, str) else ""
    if head.startswith("data:") and ";base64," in head:
        return _TOKENS_OF_MEDIA
    return estimate_tokens(value)


def _does_not_count(error: GatewayError) -> bool:
    """True where Bedrock counts no tokens for the model (recording anthropic_bedrock_count_tokens_error).

    Bedrock names no field. What does is a refusal of ours, which may speak of an inference profile, or repeat a name.
    """
    words = error.message.lower() if error.param is None else ""
    return isinstance(error, Uncounted) or "counting tokens" in words or "inference profile" in words
