"""Maps the claims of a verified token or certificate to a team, labels and roles, by the rules of the configuration."""

import fnmatch
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from app.config.identity_tables import RuleRow
from app.errors import PermissionRefused

Claims = Mapping[str, object]

_MAX_NAME = 256
_MAX_VALUE = 256


class Identity(Struct, frozen=True):
    """Who a verified token or certificate is about.

    name: unique among all callers. person: for reports and for limits by user.
    team: a name or an id; empty for administrators without a team. labels: over those of the team.
    """

    name: str
    person: str
    team: str = ""
    labels: Mapping[str, str] = {}
    roles: frozenset[str] = frozenset()


class _Rule(Struct, frozen=True):
    row: RuleRow
    conditions: Sequence[tuple[str, "re.Pattern[str]"]]

    def matches(self, claims: Claims) -> bool:
        return all(any(map(pattern.fullmatch, texts_of(claims, claim))) for claim, pattern in self.conditions)


class ClaimRules:
    """The rules of one source of identities. source: the first part of its callers' names, as `oidc/corp`."""

    def __init__(self, source: str, rows: Iterable[RuleRow]) -> None:
        self._source = source
        self._rules = [
            _Rule(row, [(claim, _pattern(patterns)) for claim, patterns in row.match.items()]) for row in rows
        ]

    def apply(self, claims: Claims, subject: str, person: str) -> Identity:
        """Return the identity that verified claims give.

        Args:
            subject: unique within the source.

        Raises:
            PermissionRefused: no rule matches, or a claim that a rule refers to cannot be used.
        """
        if not _is_text(person):
            raise PermissionRefused(f"your name must have 1 to {_MAX_VALUE} printable characters", detail=self._source)
        found = [rule.row for rule in self._rules if rule.matches(claims)]
        if not found:
            raise PermissionRefused(
                "no rule of this deployment gives you a team: ask its operator", detail=self._source
            )
        name = f"{self._source}/{subject if _is_plain(subject) else _digest(subject)}"
        roles = frozenset(role for row in found for role in row.roles)
        for row in found:
            team = row.team or (_only_text(claims, row.team_claim) if row.team_claim else "")
            if team:
                labels = {label: _only_text(claims, claim) for label, claim in row.label_claims.items()}
                return Identity(name, person, team, {**row.labels, **labels}, roles)
        return Identity(name, person, roles=roles)


def texts_of(claims: Claims, name: str) -> Iterator[str]:
    """Yield the values of a claim as texts; of a list, each. `a.b` is a claim, or else the member `b` of `a`."""
    found: object = claims
    for step in (name,) if name in claims else name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    for value in found if isinstance(found, list) else (found,):
        if isinstance(value, str):
            yield value
        elif isinstance(value, bool):
            yield "true" if value else "false"
        elif isinstance(value, int):
            yield str(value)


def _only_text(claims: Claims, name: str) -> str:
    """Return the one value of a claim.

    Raises:
        PermissionRefused: there is none, there are several, or it is too long.
    """
    found = [*texts_of(claims, name)]
    if len(found) != 1 or not _is_text(found[0]):
        raise PermissionRefused(
            f"the claim {name} must have one value of at most {_MAX_VALUE} printable characters", param=name
        )
    return found[0]


def _pattern(patterns: Iterable[str]) -> "re.Pattern[str]":
    """Compile patterns, of which one must match a whole text. `*` stands for any text; nothing else is special."""
    literal = (pattern.replace("[", "[[]").replace("?", "[?]") for pattern in patterns)
    return re.compile("|".join(map(fnmatch.translate, literal)))


def _is_text(text: str) -> bool:
    return 0 < len(text) <= _MAX_VALUE and text.isprintable()


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= _MAX_NAME and text.isascii() and text.isprintable() and not text.startswith("#")


def _digest(text: str) -> str:
    return "#" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
