"""The caller of a request, and what it may do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from app.storage.records import Budget, Limit

Patterns = tuple[str, ...]


class Policy(Struct, frozen=True, kw_only=True, eq=False):
    """What a key, or a person, and its team allow. It is replaced as a whole when one of them changes.

    key_id: empty for a caller without a key. name: the key's. person: who of the team makes the call, if that is known.
    labels: the team's, with the key's over them.
    models: lists of patterns; a model must match one pattern of each list.
    default_max_tokens: of calls that set none. largest_max_tokens: that a call may set.
    limits, budgets: those of the team and those of the key.
    """

    team_id: str
    key_id: str = ""
    name: str = ""
    person: str = ""
    labels: Mapping[str, str] = {}
    models: tuple[Patterns, ...] = ()
    default_max_tokens: int | None = None
    largest_max_tokens: int | None = None
    guardrail_id: str | None = None
    guardrail_version: str | None = None
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()

    def allows(self, names: Collection[str]) -> bool:
        """Return whether a model may be called. names: all names that it has."""
        return all(any(_matches(name, pattern) for pattern in patterns for name in names) for patterns in self.models)


def _matches(name: str, pattern: str) -> bool:
    """Return whether a name matches. Only patterns of ARNs see more of an ARN than the id: callers write the rest."""
    if name.startswith("arn:") and not pattern.startswith("arn:"):
        name = name.partition("/")[2]
    return fnmatchcase(name, pattern)


class Caller(Struct, frozen=True):
    """Who makes a request. name: of the key in API_KEYS, or the id of a virtual key.

    policy: of a virtual key, or of a person; None allows everything.
    """

    name: str
    policy: Policy | None = None


ANONYMOUS = Caller("anonymous")
