"""The virtual keys and teams that this process knows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import Struct, field

from app.governance.identity.caller import Caller, Policy
from app.governance.identity.policies import policy_of_key, policy_of_person
from app.storage.key_rows import KeyRows, TeamRows
from app.storage.records import KeySecret, Team

T = TypeVar("T")

_MAX_ABSENT = 10_000
_ABSENT_SECONDS = 30.0
_MAX_PEOPLE = 1_000


class KnownKey(Struct):
    """A key as it was read.

    ends: when it expires, in seconds since the epoch. refusal: why it is refused; empty if it is not.
    changes: how many changes of teams were known when it was read. refreshed_at: when it was last to be read again.
    correct: until when those of its secrets are accepted that callers have used, by their keyed digests; see
        `KeyDirectory.find`.
    """

    caller: Caller
    team_id: str
    secrets: tuple[KeySecret, ...]
    ends: float
    refusal: str
    changes: int
    refreshed_at: float
    correct: dict[bytes, float] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: KeyRows, read_at: float, changes: int = 0) -> KnownKey:
        """Make one from its rows."""
        key = rows.key
        refusal = f"this API key is {key.status}" if key.status != "active" else _refusal_of(rows.of_team.team)
        ends = key.expires_at.timestamp() if key.expires_at else float("inf")
        return cls(Caller(key.id, policy_of_key(rows)), key.team_id, rows.secrets, ends, refusal, changes, read_at)


class KnownTeam(Struct):
    """A team as it was read, and the policies of people in it."""

    rows: TeamRows
    refusal: str
    refreshed_at: float
    policies: dict[tuple[str, frozenset[tuple[str, str]]], Policy] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: TeamRows, read_at: float) -> KnownTeam:
        """Make one from its rows."""
        return cls(rows, _refusal_of(rows.team), read_at)

    def policy(self, person: str, labels: Mapping[str, str]) -> Policy:
        """Return the policy of a person. It is the same object until the team changes."""
        key = person, frozenset(labels.items())
        if key not in self.policies:
            if len(self.policies) >= _MAX_PEOPLE:
                self.policies.clear()
            self.policies[key] = policy_of_person(self.rows, person, labels)
        return self.policies[key]


class Absent:
    """What the database did not have. It is believed for some seconds, and the oldest is forgotten first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: OrderedDict[str | bytes, float] = OrderedDict()

    def __contains__(self, item: str | bytes) -> bool:
        return self._until.get(item, 0.0) > self._clock()

    def add(self, item: str | bytes) -> None:
        """Note that the database does not have an item."""
        self._until[item] = self._clock() + _ABSENT_SECONDS
        self._until.move_to_end(item)
        if len(self._until) > _MAX_ABSENT:
            self._until.popitem(last=False)

    def discard(self, item: str | bytes) -> None:
        """Note that the database may have an item now."""
        self._until.pop(item, None)


class Known(OrderedDict[str, T]):
    """What was read, by id. Of more than `most`, those that were not used for longest are forgotten.

    absent: ids that the database does not have.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        super().__init__()
        self._most = most
        self.absent = Absent(clock)

    def use(self, identifier: str) -> T | None:
        """Return what is known by an id."""
        found = self.get(identifier)
        if found is not None:
            self.move_to_end(identifier)
        return found

    def put(self, identifier: str, value: T | None) -> None:
        """Keep what was read; None if the database has no such row."""
        self.forget(identifier)
        if value is None:
            self.absent.add(identifier)
            return
        self[identifier] = value
        if len(self) > self._most:
            self.popitem(last=False)

    def forget(self, identifier: str) -> None:
        """Forget what is known of an id."""
        self.pop(identifier, None)
        self.absent.discard(identifier)


def _refusal_of(team: Team) -> str:
    return f"the team of this caller is {team.status}" if team.status != "active" else ""
