"""Who makes calls: each subject is made once, with what is known of it, and kept while its policy holds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from msgspec import Struct, field

from app.governance.holds.needs import Subject
from app.governance.identity.caller import Caller, Policy
from app.governance.ledger.entry import recorded

_log = logging.getLogger(__name__)

# the end user of the calls that name more users than are counted
OTHER_USERS = "(other users)"
USERS_PER_HOUR = 10_000
_MAX_SUBJECTS = 10_000
# users of all keys that are counted at once: 12 MB
_MAX_NAMED = 200_000
_HOUR_SECONDS = 3600.0


class _Kept(Struct, eq=False):
    policy: Policy | None
    subject: Subject


class _Named(Struct):
    """The users that a key has named within an hour. ends: when that is over. hashes: of their names."""

    ends: float
    hashes: set[int] = field(default_factory=set)
    is_reported: bool = False


class Subjects:
    """The subjects of a process, by caller and end user.

    A program chooses the names of its users, and each has rows in the database. So the users of a key within an hour
    are counted together beyond a number. People have their names from who signed them in.

    Args:
        users_per_hour: that number. clock: monotonic seconds.
    """

    def __init__(self, users_per_hour: int = USERS_PER_HOUR, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}
        # by key; the one whose hour began first comes first
        self._named: dict[str, _Named] = {}
        self._count = 0
        self._users_per_hour = users_per_hour
        self._clock = clock

    def of(self, caller: Caller, user: str) -> Subject:
        """Return who makes a call. user: the end user that it names."""
        policy, is_named = caller.policy, False
        kept = self._kept.get((caller.name, user))
        if kept is not None and kept.policy is policy:
            return kept.subject
        if policy is not None and (policy.person or not policy.key_id):
            # a person may not choose whose limits apply; the key of a program names the users that the program serves
            user = policy.person
        elif user:
            user, is_named = recorded(user), True
        kept = self._kept.get((caller.name, user))
        if kept is None and is_named and not self._may_name(caller.name, user):
            user = OTHER_USERS
            kept = self._kept.get((caller.name, user))
        if kept is None or kept.policy is not policy:
            kept = _Kept(policy, _subject_of(caller.name, user, policy))
            if len(self._kept) >= _MAX_SUBJECTS:
                self._kept.clear()
            self._kept[caller.name, user] = kept
        return kept.subject

    def _may_name(self, key: str, user: str) -> bool:
        """Count a user of a key; returns False for another one beyond the number."""
        moment, name = self._clock(), hash(user)
        if self._count >= _MAX_NAMED:
            self._forget(next(iter(self._named)))
        named = self._named.get(key)
        if named is None or moment >= named.ends:
            self._forget(key)
            named = self._named[key] = _Named(moment + _HOUR_SECONDS)
        if name in named.hashes:
            return True
        if len(named.hashes) < self._users_per_hour:
            named.hashes.add(name)
            self._count += 1
            return True
        if not named.is_reported:
            named.is_reported = True
            fields = {"key": key, "users": self._users_per_hour}
            _log.warning("calls name too many end users, and others are counted together", extra={"fields": fields})
        return False

    def _forget(self, key: str) -> None:
        """Count the users of a key anew."""
        if (named := self._named.pop(key, None)) is not None:
            self._count -= len(named.hashes)


def _subject_of(name: str, user: str, policy: Policy | None) -> Subject:
    if policy is None:
        return Subject("", name, user)
    return Subject(policy.team_id, policy.key_id, user, policy.labels, policy.limits, policy.budgets)
