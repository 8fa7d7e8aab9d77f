"""What the operations share: one upstream call, its request and the parsing of its response."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Generic, TypeVar

from msgspec import Struct, field

from app.bedrock.client import BedrockRequest
from app.bedrock.transport import MAX_BYTES, HttpResponse
from app.converse.call import Mode, Surface
from app.converse.usage import Usage
from app.errors import UpstreamFailed
from app.models.ids import ModelId
from app.observability.observer import AttemptContext
from app.process.memory import buffer_for, contents_of
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.wire import json
from app.wire.json import JsonObject

# a whole tool, in a namespace or not; paths below a tool, such as those of its options, do not count
_TOOL = re.compile(r"tools\[[0-9]+\](\.tools\[[0-9]+\])*\Z")

# what is read of a response before it is counted
HELD_STEP = 1024 * 1024

T = TypeVar("T")
# reads the tokens from a document of a response; None if it reports none
UsageReader = Callable[[JsonObject], Usage | None]

JSON = (("content-type", "application/json"),)
# raised where a response is not as Bedrock's service model describes it: Bedrock's failure, not the gateway's
MALFORMED = (json.JsonError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


class Operation(Struct, Generic[T], frozen=True, kw_only=True):
    """One upstream call: it builds the request and parses the response.

    ignored: fields of the caller's request without effect. adjusted: what was changed for the model.
    tier: the service tier that is requested. is_checked: a guardrail has seen the input already.
    max_tokens: that the answer may have, where the body says so and is adapted here.
    contents: what the call contains, if its adaptation knows that; see `Contents`.
    is_streamed: the attempt ends with its stream, and not with its result.
    encodes_in_build: `build` encodes the body, which takes long if that is large.
    """

    is_streamed: ClassVar[bool] = False
    encodes_in_build: ClassVar[bool] = False

    mode: Mode
    surface: Surface
    ignored: list[str] = field(default_factory=list)
    adjusted: list[str] = field(default_factory=list)
    tier: str = ""
    is_checked: bool = False
    max_tokens: object = None
    contents: int | None = None

    @property
    def size(self) -> int | None:
        """The bytes of the body that is sent; None if only `build` knows them, or if the call may be free."""
        return None

    def build(self, model: ModelId) -> BedrockRequest:
        """Build the request for a model, by its own id or by that of an inference profile."""
        raise TypeError(f"{type(self).__name__} builds no request for {model.raw}")

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        """Parse a successful response: a complete one to its end, a stream up to its first event.

        Usage and service tier are noted in `attempt` as soon as they are known.

        Raises:
            GatewayError: the response breaks off, is malformed, or reports an error.
        """
        raise TypeError(f"{type(self).__name__} parses no response: {response.status}, {attempt.tier}")


def ignored_tools(ignored: Sequence[str]) -> set[str]:
    """Return the paths of whole tools among the paths of ignored fields."""
    return {path for path in ignored if _TOOL.match(path)}


def malformed(error: BaseException | str) -> UpstreamFailed:
    """Return the error for a response that is not as Bedrock's service model describes it."""
    detail = error if isinstance(error, str) else type(error).__name__
    return UpstreamFailed("Bedrock's reply made no sense", detail=detail)


async def read_large(response: HttpResponse, attempt: AttemptContext) -> bytes:
    """Read a response that is large or of unknown length, as far as the gateway may hold it.

    Raises:
        UpstreamFailed: it is too large, or breaks off. GatewayBusy: the gateway holds too many bytes of responses.
    """
    if attempt.length > MAX_BYTES:
        raise UpstreamFailed("Bedrock's response is too large", detail=f"more than {MAX_BYTES} bytes")
    held = max(attempt.length, 0)
    if held:  # all at once, or several responses would wait for each other
        await attempt.count_response(held)
    read = buffer_for(held)

    def take(data: bytes) -> bool:
        read.write(data)
        return read.tell() - held < HELD_STEP

    while not await response.deliver(take):
        if read.tell() > MAX_BYTES:
            raise UpstreamFailed("Bedrock's response is too large", detail=f"more than {MAX_BYTES} bytes")
        await attempt.count_response(read.tell() - held)
        held = read.tell()
    return contents_of(read)


async def read_body(response: HttpResponse, attempt: AttemptContext) -> bytes:
    """Read a complete response. Raises as `read_large` does."""
    return await (response.read() if 0 <= attempt.length < HELD_STEP else read_large(response, attempt))


def parse_document(body: bytes) -> JsonObject:
    """Parse a response that is a JSON object. Raises UpstreamFailed: it is something else."""
    try:
        document = json.loads(body)
    except json.JsonError as error:
        raise malformed(error) from None
    if not isinstance(document, dict):
        raise malformed("no object")
    return document


async def read_document(response: HttpResponse, attempt: AttemptContext) -> JsonObject:
    """Read and parse a response that is a JSON object. Raises as `read_body` and `parse_document` do."""
    body = await read_body(response, attempt)
    parse = partial(parse_document, body)
    return parse() if len(body) <= MAX_LOOP_BYTES else await off_loop(attempt.caller, len(body), parse)
