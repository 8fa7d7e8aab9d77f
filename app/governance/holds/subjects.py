"""Who makes calls: each subject is made once, with what is known of it, and kept while its policy holds."""

from __future__ import annotations

from msgspec import Struct

from app.governance.holds.needs import Subject
from app.governance.identity.caller import Caller, Policy
from app.governance.ledger.entry import recorded

_MAX_SUBJECTS = 10_000


class _Kept(Struct, eq=False):
    policy: Policy | None
    subject: Subject


class Subjects:
    """The subjects of a process, by caller and end user."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}

    def of(self, caller: Caller, user: str) -> Subject:
        """Return who makes a call. user: the end user that it names."""
        policy = caller.policy
        if policy is not None and (policy.person or not policy.key_id):
            # a person may not choose whose limits apply; the key of a program names the users that the program serves
            user = policy.person
        elif user:
            user = recorded(user)
        kept = self._kept.get((caller.name, user))
        if kept is None or kept.policy is not policy:
            kept = _Kept(policy, _subject_of(caller.name, user, policy))
            if len(self._kept) >= _MAX_SUBJECTS:
                self._kept.clear()
            self._kept[caller.name, user] = kept
        return kept.subject


def _subject_of(name: str, user: str, policy: Policy | None) -> Subject:
    if policy is None:
        return Subject("", name, user)
    return Subject(policy.team_id, policy.key_id, user, policy.labels, policy.limits, policy.budgets)
