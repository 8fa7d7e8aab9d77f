"""What is counted of the calls of one pool: for administrators and metrics, and how fast its queue is served."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.governance.quotas.reservation import Reservation

_MAX_TEAMS = 1_000
# for how long a measured rate is remembered; below which part of the allowed rate it counts
_RATE_SECONDS, _CERTAIN, _MIN_RATE = 5.0, 0.7, 0.1
_MIN_SERVED = 5

_TEAM, _RESERVED, _SETTLED = map(attrgetter, ("flow.team", "reserved", "settled"))


@dataclass(slots=True)
class TeamFigures:
    """Tokens of a team's calls: what they reserved at their starts, and what they took in the end."""

    reserved: int = 0
    settled: int = 0


@dataclass(slots=True)
class PoolFigures:
    """Counts of a pool since the start. calls: that were sent and have ended.

    waited: seconds of the calls that were served from the queue.
    """

    calls: int = 0
    queued: int = 0
    refused: int = 0
    spilled: int = 0
    throttled: int = 0
    reserved: int = 0
    settled: int = 0
    waited: float = 0.0
    teams: OrderedDict[str, TeamFigures] = field(default_factory=OrderedDict)

    def note_refusal(self, *, may_spill: bool) -> None:
        """Count a call that cannot start in time. may_spill: it goes to another target."""
        if may_spill:
            self.spilled += 1
        else:
            self.refused += 1

    def note_ended(self, ended: Sequence[Reservation]) -> None:
        """Count calls that have ended."""
        reserved, settled = sum(map(_RESERVED, ended)), sum(map(_SETTLED, ended))
        self.calls += len(ended)
        self.reserved += reserved
        self.settled += settled
        if len({*map(_TEAM, ended)}) == 1:
            self._note_team(ended[0].flow.team, reserved, settled)
            return
        for each in ended:
            self._note_team(each.flow.team, each.reserved, each.settled or 0)

    def _note_team(self, team: str, reserved: int, settled: int) -> None:
        figures = self.teams.get(team)
        if figures is None:
            figures = self.teams[team] = TeamFigures()
            if len(self.teams) > _MAX_TEAMS:
                self.teams.popitem(last=False)
        figures.reserved += reserved
        figures.settled += settled


@dataclass(slots=True)
class ServedRate:
    """How fast a queue is served. since: when calls began to wait. served: of the last seconds, the older ones less."""

    since: float = 0.0
    served: float = 0.0
    at: float = 0.0
    count: int = 0

    def note(self, cost: int, now: float) -> None:
        """Count a call that was served."""
        self.served = self.served * math.exp((self.at - now) / _RATE_SECONDS) + cost
        self.at = now
        self.count += 1

    def per_second(self, now: float, most: float) -> float:
        """Return the rate. most: what the quota allows, which counts until a lower rate is certain."""
        age = now - self.since
        if age < 2 * _RATE_SECONDS or self.count < _MIN_SERVED:
            return most
        weight = _RATE_SECONDS * (1 - math.exp(-age / _RATE_SECONDS))
        measured = self.served * math.exp((self.at - now) / _RATE_SECONDS) / weight
        return max(measured, most * _MIN_RATE) if measured < most * _CERTAIN else most
