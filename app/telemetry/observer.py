"""The port through which the inside reports, and the record of one request that it reports."""

import time
from dataclasses import dataclass, field
from typing import Protocol

from app.converse.usage import Usage


@dataclass(slots=True)
class RequestRecord:
    """Everything that is known of one HTTP request when it ends. It holds no content and no secret.

    route: the path's template, never the path, whose segments callers choose.
    lane: identity, native or translated. surface: the Bedrock API that answered.
    model_behind: the model that was called, where an ARN hides it. tier: the service tier that was asked for.
    cost: USD, where it is known.
    first_event_ms: from the first byte of the request to the first event sent, for streams.
    """

    request_id: str
    method: str
    started: float = field(default_factory=time.monotonic)
    route: str = ""
    dialect: str = ""
    caller: str = ""
    model: str = ""
    target: str = ""
    lane: str = ""
    surface: str = ""
    streamed: bool = False
    status: int = 0
    error: str = ""
    detail: str = ""
    attempts: int = 0
    upstream_request_id: str = ""
    usage: Usage | None = None
    model_behind: str = ""
    tier: str = ""
    cost: float | None = None
    ignored: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    first_event_ms: float | None = None

    def elapsed_ms(self) -> float:
        """Milliseconds since the request began."""
        return (time.monotonic() - self.started) * 1000

    def mark_first_event(self) -> None:
        """Note the moment of the first event, once."""
        if self.first_event_ms is None:
            self.first_event_ms = self.elapsed_ms()


class Observer(Protocol):
    """Takes reports. Must not block and must not raise."""

    def request_ended(self, record: RequestRecord) -> None:
        """One HTTP request has been answered, or its caller has gone."""
