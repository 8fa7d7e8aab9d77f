"""The record of one request, and the interfaces of what logs, measures and traces it."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from app.converse.call import Mode, Surface
from app.converse.usage import Usage
from app.errors import GatewayError
from app.observability.trace import NO_TRACE, Headers, Span

# the error of a request whose caller disconnected
CALLER_GONE = "caller_gone"
# kinds of errors that Bedrock or the gateway caused
FAILURES = frozenset(
    {
        "connect_timeout", "connection_lost", "credentials_missing", "identity_refused", "internal", "overloaded",
        "upstream_failed", "upstream_timeout", "upstream_unreachable",
    }
)  # fmt: skip
# kinds of errors that a caller may have caused, or that may mean that no caller is served
DOUBTS = frozenset({"gateway_busy", "permission", "quota_exceeded", "rate_limited"})
_NO_FAILURE = ("", CALLER_GONE, "caller_deadline")


class TriedTarget(Struct):
    """The target of one attempt, as the log record of its request lists it.

    error: the kind of the failure, if it failed; `cancelled` until it has an outcome.
    """

    target: str
    location: str = ""
    started: float = field(default_factory=time.monotonic)
    error: str = "cancelled"
    milliseconds: float = 0.0

    @property
    def is_running(self) -> bool:
        """True while there is no response."""
        return self.milliseconds == 0.0


async def _count_nothing(_: int) -> None:
    pass


def _ignore(_: "AttemptContext") -> None:
    pass


class AttemptContext(Struct):
    """What one attempt gives to the client and to the parser of its response, and what they report in it.

    headers: sent with the request, for tracing. caller: in whose turn its work runs.
    usage, tier: those that the response reported so far.
    stream_error: what the stream of a successful attempt reported later.
    on_stream_end: called when the stream of a successful attempt ends. read_on: see `Relay`.
    length: bytes of the body of the response, as its head tells; -1 if it does not. received: bytes of a stream so far.
    has_broken: the stream has failed, and was not given up.
    count_response: called with bytes of a large response before more of it is read; returns when it may be.
    """

    headers: Headers = ()
    caller: str = ""
    upstream_request_id: str = ""
    usage: Usage | None = None
    tier: str = ""
    stream_error: GatewayError | None = None
    on_stream_end: Callable[["AttemptContext"], object] = _ignore
    read_on: Callable[[Coroutine[Any, Any, None]], bool] | None = None
    length: int = -1
    received: int = 0
    has_broken: bool = False
    count_response: Callable[[int], Awaitable[None]] = _count_nothing


class QuotaUse(Protocol):
    """What a call takes of a quota of Bedrock.

    waited: seconds in its queue. reserved, settled: tokens of the quota, at its start and in the end.
    """

    waited: float
    reserved: int
    settled: int | None


class Standings(Protocol):
    """What is left of the limits and budgets of a caller."""

    def lines(self, render: Callable[[Callable[[Any], Any]], list[str]]) -> list[str]:
        """Return the headers of an answer. render: returns them in the terms of a dialect."""
        ...


class Trace(Protocol):
    """The trace of one request."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, or nothing."""
        ...

    def begin_attempt(self, record: "RequestRecord", host: str) -> tuple[Headers, Span]:
        """Begin the span of an attempt; returns the headers to send upstream, and the span for `end_attempt`."""
        ...

    def end_attempt(self, record: "RequestRecord", span: Span, error: str) -> None:
        """End the span of an attempt."""
        ...

    def end(self, record: "RequestRecord") -> None:
        """End the span of the request."""
        ...


class Tracer(Protocol):
    """Begins traces."""

    def begin(self, record: "RequestRecord", headers: Mapping[str, str]) -> Trace:
        """Begin the trace of a request, or continue the trace of its headers."""
        ...

    async def close(self, seconds: float) -> None:
        """Send the remaining spans, within so many seconds."""
        ...


class RequestRecord(Struct):
    """What is logged and measured of one HTTP request. It holds no content and no secret.

    `execution.attempt` alone writes what attempts determine: target, location, mode, surface, upstream_request_id,
    usage, model_behind, tier, ignored, adjusted, tries, has_moved and quota.

    client: the address of the client, or of the nearest proxy that is not trusted.
    route: the path's template, never the path, whose segments callers choose.
    first_event_ms: from the first byte of the request to the first event sent, for streams.
    cost: USD, if it is known.
    caller: the name of a key in API_KEYS, or the id of a virtual key; key_name: its name. team: the id of the team.
    model: as the caller named it. target: as it is called upstream.
    location: the region and account of the target, if they are not the gateway's own.
    model_behind: the model that was called, if an ARN hides it.
    tier: the service tier, or `optimized`, that the response reports, or else that was requested.
    exceeded: limits and budgets of the caller that refuse nothing, and would not have allowed the request.
    standings: what is left of the caller's limits and budgets; None for a caller without any.
    tries: the attempts, in the order of their beginning. has_moved: a target after the first was tried.
    quota: what the last attempt took of a quota, if that is known, with the waits of all attempts.
    """

    request_id: str
    method: str
    client: str = ""
    started: float = field(default_factory=time.monotonic)
    route: str = ""
    dialect: str = ""
    caller: str = ""
    team: str = ""
    key_name: str = ""
    model: str = ""
    target: str = ""
    location: str = ""
    mode: Mode | Literal[""] = ""
    surface: Surface | Literal[""] = ""
    streamed: bool = False
    status: int = 0
    error: str = ""
    detail: str = ""
    upstream_request_id: str = ""
    usage: Usage | None = None
    model_behind: str = ""
    tier: str = ""
    cost: float | None = None
    ignored: list[str] = field(default_factory=list)
    adjusted: list[str] = field(default_factory=list)
    first_event_ms: float | None = None
    tries: list[TriedTarget] = field(default_factory=list)
    has_moved: bool = False
    quota: QuotaUse | None = None
    trace: Trace = NO_TRACE
    exceeded: Sequence[str] = ()
    standings: Standings | None = None

    @property
    def attempts(self) -> int:
        """The number of attempts."""
        return len(self.tries)

    @property
    def is_attempted(self) -> bool:
        """True while an attempt waits for its response."""
        return any(each.is_running for each in self.tries)

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the request began."""
        return (time.monotonic() - self.started) * 1000

    @property
    def is_broken(self) -> bool:
        """True if its stream failed after a successful status was sent."""
        return self.streamed and 0 < self.status < 400 and self.error not in _NO_FAILURE


class Observer(Protocol):
    """Logs or measures requests. It must not block."""

    def request_ended(self, record: RequestRecord) -> None:
        """Report a request whose response was sent, or whose caller disconnected."""
