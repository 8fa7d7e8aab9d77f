"""What the rows of teams, keys, limits and budgets hold, as immutable records."""

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct, field

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

Scope = Literal["team", "key"]
LimitKind = Literal["requests_per_minute", "tokens_per_minute", "max_parallel_requests"]
Period = Literal["day", "week", "month", "total"]


def new_id() -> str:
    """Return a new identifier of 26 letters and digits. Identifiers sort by the time of their creation."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def now() -> datetime:
    """Return the time of this machine, for what is recorded. Leases use the database's clock."""
    return datetime.now(UTC)


class Scoped(Struct, frozen=True, kw_only=True):
    """What teams and keys both have.

    models: patterns of the models that may be called; None for all.
    default_max_tokens: of calls that set none. largest_max_tokens: that a call may set.
    revision: counts changes.
    """

    id: str = field(default_factory=new_id)
    name: str
    models: list[str] | None = None
    default_max_tokens: int | None = None
    largest_max_tokens: int | None = None
    guardrail_id: str | None = None
    guardrail_version: str | None = None
    labels: Mapping[str, str] = {}
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    revision: int = 1


class Team(Scoped, frozen=True, kw_only=True):
    """A team: what its keys share."""

    status: Literal["active", "blocked"] = "active"


class Key(Scoped, frozen=True, kw_only=True):
    """A key of a team. person: who of the team holds it; empty if the team itself does."""

    team_id: str
    person: str = ""
    status: Literal["active", "blocked", "revoked"] = "active"
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class KeySecret(Struct, frozen=True, kw_only=True):
    """A secret of a key: its hash, never itself.

    signing: what verifies SigV4 signatures, encrypted.
    expires_at: the end of the time of grace of a rotated secret, or the time at which its key was revoked.
    """

    id: str = field(default_factory=new_id)
    key_id: str
    hash: bytes
    signing: bytes | None = None
    created_at: datetime = field(default_factory=now)
    expires_at: datetime | None = None


class Limit(Struct, frozen=True, kw_only=True):
    """A rate, or a number of parallel requests.

    per: empty for all calls of the scope together; `user` or `label:NAME` for each value by itself.
    per_value: the value that it is for; empty for each value without a limit of its own.
    shadow: it counts and logs, and refuses nothing.
    """

    id: str = field(default_factory=new_id)
    scope: Scope
    scope_id: str
    per: str = ""
    per_value: str = ""
    kind: LimitKind
    capacity: int
    shadow: bool = False
    updated_at: datetime = field(default_factory=now)


class Budget(Struct, frozen=True, kw_only=True):
    """Money over a period, in nano-dollars. per, per_value, shadow: see `Limit`.

    mode: `hard` holds the worst case of each call. `estimated` holds what calls usually cost, so that
        calls that run may exceed it.
    override_nano: the amount until `override_until`, instead of `amount_nano`.
    """

    id: str = field(default_factory=new_id)
    scope: Scope
    scope_id: str
    per: str = ""
    per_value: str = ""
    period: Period
    amount_nano: int
    action: Literal["block", "warn"] = "block"
    mode: Literal["hard", "estimated"] = "hard"
    shadow: bool = False
    override_nano: int | None = None
    override_until: datetime | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    def amount_at(self, moment: datetime) -> int:
        """Return the amount at a time: the override's, until that ends."""
        if self.override_nano is None or (self.override_until is not None and self.override_until <= moment):
            return self.amount_nano
        return self.override_nano
