"""Who makes calls: each subject is made once, with what is known of it, and kept while its policy holds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from msgspec import Struct

from app.governance.holds.needs import Subject
from app.governance.identity.caller import Caller, Policy
from app.governance.ledger.entry import recorded

_log = logging.getLogger(__name__)

# the end user of the calls that name more users than are counted
OTHER_USERS = "(other users)"
USERS_PER_HOUR = 10_000
_MAX_SUBJECTS = 10_000
_HOUR_SECONDS = 3600.0


class _Kept(Struct, eq=False):
    policy: Policy | None
    subject: Subject


class _Named(Struct):
    """The new users of a key within an hour. since: when it began."""

    since: float
    count: int = 0


class Subjects:
    """The subjects of a process, by caller and end user.

    A program chooses the names of its users, and each has rows in the database. So the users of a key that are new
    within an hour are counted together beyond a number.

    Args:
        users_per_hour: that number. clock: monotonic seconds.
    """

    def __init__(self, users_per_hour: int = USERS_PER_HOUR, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}
        # by key, or by team of people without a key
        self._named: dict[str, _Named] = {}
        self._users_per_hour = users_per_hour
        self._clock = clock

    def of(self, caller: Caller, user: str) -> Subject:
        """Return who makes a call. user: the end user that it names."""
        policy = caller.policy
        if policy is not None and (policy.person or not policy.key_id):
            # a person may not choose whose limits apply; the key of a program names the users that the program serves
            user = policy.person
        elif user:
            user = recorded(user)
        kept = self._kept.get((caller.name, user))
        if kept is None and user and not self._may_name_another(caller):
            user = OTHER_USERS
            kept = self._kept.get((caller.name, user))
        if kept is None or kept.policy is not policy:
            kept = _Kept(policy, _subject_of(caller.name, user, policy))
            if len(self._kept) >= _MAX_SUBJECTS:
                self._kept.clear()
            self._kept[caller.name, user] = kept
        return kept.subject

    def _may_name_another(self, caller: Caller) -> bool:
        """Count a new user of a key; returns False if there are too many."""
        policy, moment = caller.policy, self._clock()
        payer = caller.name if policy is None else policy.key_id or policy.team_id
        named = self._named.get(payer)
        if named is None or moment >= named.since + _HOUR_SECONDS:
            if named is None and len(self._named) >= _MAX_SUBJECTS:
                self._named.clear()
            named = self._named[payer] = _Named(moment)
        if named.count < self._users_per_hour:
            named.count += 1
            return True
        if named.count == self._users_per_hour:
            named.count += 1
            fields = {"key": payer, "users": self._users_per_hour}
            _log.warning("calls name too many end users, and others are counted together", extra={"fields": fields})
        return False


def _subject_of(name: str, user: str, policy: Policy | None) -> Subject:
    if policy is None:
        return Subject("", name, user)
    return Subject(policy.team_id, policy.key_id, user, policy.labels, policy.limits, policy.budgets)
