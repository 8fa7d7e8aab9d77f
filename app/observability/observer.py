"""The port through which the inside reports, and the record of one request that it reports."""

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct, field

from app.converse.usage import Usage
from app.observability.trace import NO_TRACE, Headers, Span, Trace

_log = logging.getLogger(__name__)

# the error of a record whose caller did not wait for its end
CALLER_GONE = "caller_gone"
# kinds of errors that callers can do nothing about: what stands behind the gateway has failed, or it itself
FAILURES = frozenset(
    {
        "connect_timeout", "connection_lost", "identity_refused", "internal", "overloaded", "upstream_failed",
        "upstream_timeout", "upstream_unreachable",
    }
)  # fmt: skip
# and those that a caller may have brought about, or that may mean that nobody is served any more
DOUBTS = frozenset({"gateway_busy", "permission", "quota_exceeded", "rate_limited"})
_CALLERS_OWN = ("", CALLER_GONE, "caller_deadline")


class Attempt(Struct):
    """One request to Bedrock: whom it asked, where, and what came of it. error: the kind of the failure, if it is one;
    `cancelled` while nothing has come of it, and where nothing ever does.
    """

    target: str
    location: str
    headers: Headers
    span: Span
    started: float = field(default_factory=time.monotonic)
    error: str = "cancelled"
    milliseconds: float = 0.0


class Asked(Struct, frozen=True):
    """Whom a record tells of, and what came of it; members as there."""

    target: str
    location: str
    mode: str
    surface: str
    model_behind: str
    tier: str
    upstream_request_id: str
    usage: Usage | None
    ignored: list[str]
    adjusted: list[str]


class RequestRecord(Struct):
    """Everything that is known of one HTTP request when it ends. It holds no content and no secret.

    route: the path's template, never the path, whose segments callers choose.
    place: the region and account of the target, where they are not the gateway's own.
    mode: identity, native or translated. surface: the Bedrock API that answered.
    model_behind: the model that was called, where an ARN hides it. tier: the service tier, or `optimized`, that the
    answer says it was served by, or else that was asked for.
    cost: USD, where it is known.
    first_event_ms: from the first byte of the request to the first event sent, for streams.
    tries: the attempts, in the order of their beginning. has_moved: another target was asked than the first.
    """

    request_id: str
    method: str
    started: float = field(default_factory=time.monotonic)
    route: str = ""
    dialect: str = ""
    caller: str = ""
    model: str = ""
    target: str = ""
    location: str = ""
    mode: str = ""
    surface: str = ""
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
    tries: list[Attempt] = field(default_factory=list)
    has_moved: bool = False
    trace: Trace = NO_TRACE

    @property
    def attempts(self) -> int:
        """How often Bedrock was asked."""
        return len(self.tries)

    def elapsed_ms(self) -> float:
        """Milliseconds since the request began."""
        return (time.monotonic() - self.started) * 1000

    @property
    def is_broken(self) -> bool:
        """True if its stream broke behind a status that had promised better."""
        return self.streamed and 0 < self.status < 400 and self.error not in _CALLERS_OWN

    def tell_of(self, asked: Asked) -> None:
        """Tell of one that was asked before."""
        self.target, self.location, self.mode, self.surface = asked.target, asked.location, asked.mode, asked.surface
        self.model_behind, self.tier = asked.model_behind, asked.tier
        self.upstream_request_id, self.usage = asked.upstream_request_id, asked.usage
        self.ignored, self.adjusted = asked.ignored, asked.adjusted

    def mark_first_event(self) -> None:
        """Note the moment of the first event, once."""
        if self.first_event_ms is None:
            self.first_event_ms = self.elapsed_ms()

    def begin_attempt(self, host: str) -> Attempt:
        """Bedrock is asked, at a host; the attempt's headers go with the request."""
        headers, span = self.trace.begin_attempt(self, host)
        attempt = Attempt(self.target, self.location, headers, span)
        self.tries.append(attempt)
        return attempt

    def end_attempt(self, attempt: Attempt, error: str = "") -> None:
        """It has answered, or, of a stream, begun to; or it has failed."""
        attempt.error, attempt.milliseconds = error, (time.monotonic() - attempt.started) * 1000
        self.trace.end_attempt(self, attempt.span, error)


class Observer(Protocol):
    """Takes reports. Must not block and must not raise."""

    def request_ended(self, record: RequestRecord) -> None:
        """One HTTP request has been answered, or its caller has gone."""


class Observers(Struct, frozen=True):
    """Reports to several."""

    each: Sequence[Observer]

    def request_ended(self, record: RequestRecord) -> None:
        """One HTTP request has been answered, or its caller has gone."""
        for observer in self.each:
            try:
                observer.request_ended(record)
            except Exception:  # noqa: BLE001 -- the request has been answered, whatever is told of it
                _log.exception("a report failed", extra={"fields": {"request_id": record.request_id}})
