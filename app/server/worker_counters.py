"""The counters that the worker processes of a gateway share.

The structs below are the only declaration: the size of the shared memory and the counters of a process follow from
their fields.
"""

from collections.abc import Iterator
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import fields

from app.process.shared_counter import SharedCounter

S = TypeVar("S", bound=Struct)


class AdmissionCounters(Struct, frozen=True):
    """Counts the requests of one limit of parallel requests.

    inside: requests that hold a permit. waiting: requests that wait for one.
    first_since: when the first request in the queue of a process began to wait, in ns of the monotonic clock, or 0.
    common: permits that are held and are in no caller's reserve.
    """

    inside: SharedCounter = field(default_factory=SharedCounter)
    waiting: SharedCounter = field(default_factory=SharedCounter)
    first_since: SharedCounter = field(default_factory=SharedCounter)
    common: SharedCounter = field(default_factory=SharedCounter)


class ReserveCounters(Struct, frozen=True):
    """Counts the requests of one caller.

    inside: permits of its reserve that it holds. waiting: requests that wait. common: permits of no reserve that it
    holds, if their number is limited.
    """

    inside: SharedCounter = field(default_factory=SharedCounter)
    waiting: SharedCounter = field(default_factory=SharedCounter)
    common: SharedCounter = field(default_factory=SharedCounter)


class GatewayCounters(Struct, frozen=True):
    """Counts for all callers together. unverified: of requests whose SigV4 signature has not been checked yet."""

    body_bytes: SharedCounter = field(default_factory=SharedCounter)
    response_bytes: SharedCounter = field(default_factory=SharedCounter)
    unverified_body_bytes: SharedCounter = field(default_factory=SharedCounter)
    admission: AdmissionCounters = field(default_factory=AdmissionCounters)
    unverified: AdmissionCounters = field(default_factory=AdmissionCounters)


class CallerCounters(Struct, frozen=True):
    """Counts for one caller. unverified: of requests that claim to be signed by it."""

    body_bytes: SharedCounter = field(default_factory=SharedCounter)
    response_bytes: SharedCounter = field(default_factory=SharedCounter)
    unverified_body_bytes: SharedCounter = field(default_factory=SharedCounter)
    reserve: ReserveCounters = field(default_factory=ReserveCounters)
    unverified: AdmissionCounters = field(default_factory=AdmissionCounters)


class WorkerCounters(Struct, frozen=True):
    """All counters, as one process sees them. callers: one for each key, in the order of the keys."""

    gateway: GatewayCounters = field(default_factory=GatewayCounters)
    callers: list[CallerCounters] = field(default_factory=list)

    @classmethod
    def size(cls, callers: int) -> int:
        """Return the number of counters."""
        return _size(GatewayCounters) + callers * _size(CallerCounters)

    @classmethod
    def of(cls, counters: list[SharedCounter], callers: int) -> "WorkerCounters":
        """Name the `size(callers)` counters of a process."""
        source = iter(counters)
        return cls(_filled(GatewayCounters, source), [_filled(CallerCounters, source) for _ in range(callers)])


def _size(kind: type[Struct]) -> int:
    return sum(1 if each.type is SharedCounter else _size(each.type) for each in fields(kind))


def _filled(kind: type[S], source: Iterator[SharedCounter]) -> S:
    return kind(*(next(source) if each.type is SharedCounter else _filled(each.type, source) for each in fields(kind)))
