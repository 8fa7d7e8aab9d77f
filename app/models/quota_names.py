"""Which models and inference profiles a quota of Service Quotas is for, by its code or else by its name.

Known codes count first. The names of other quotas end with the name of a model: with the vendor's name before it, or
without. A name that fits several models, or none, is not used. Sources of codes and names: lists of quotas that others
published (sample-bedrock-quota-checker, sample-traffic-shaping-for-amazon-bedrock; 2026-10).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from app.models.catalog import CatalogEntry
from app.models.ids import parse_model_id

Unit = Literal["tokens", "requests", "mantle_input", "mantle_output"]
# by which names a model is called to be counted: its base id, profiles of a geography, or the global profile
Scope = Literal["base", "geography", "global", "mantle"]

_SCOPES: dict[str, Scope] = {"on-demand": "base", "cross-region": "geography", "global cross-region": "global"}
_RUNTIME = re.compile(
    r"(?P<scope>on-demand|global cross-region|cross-region) model inference (?P<unit>tokens|requests) per minute for "
    r"(?P<model>.+)\Z",
    re.IGNORECASE,
)
_MANTLE = re.compile(
    r"\[bedrock-mantle endpoint\] (?P<unit>input|output) tokens per minute for (?P<model>.+)\Z", re.IGNORECASE
)
# rows for the context of a million tokens have quotas of their own, which no name of a model tells
_OTHER_QUOTAS = re.compile(r"1m context|latency.optimized|batch", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9]+(?:\.[0-9]+)*")
_VERSION = re.compile(r"v\d+\Z")

_CODES: Mapping[str, tuple[str, Scope]] = {
    "L-A4430697": ("anthropic.claude-opus-5-5", "geography"),
    "L-A103A344": ("anthropic.claude-opus-5-5", "global"),
    "L-5DB28B7B": ("anthropic.claude-opus-4-7", "geography"),
    "L-15B8E632": ("anthropic.claude-sonnet-4-6", "geography"),
    "L-7BEE40FB": ("anthropic.claude-sonnet-4-6", "global"),
    "L-F4DDD3EB": ("anthropic.claude-sonnet-4-5-20250929-v1:0", "geography"),
    "L-27C57EE8": ("anthropic.claude-sonnet-4-5-20250929-v1:0", "global"),
    "L-58BE175A": ("anthropic.claude-haiku-4-5-20251001-v1:0", "geography"),
    "L-9A11C666": ("anthropic.claude-haiku-4-5-20251001-v1:0", "global"),
}


class QuotaName(Struct, frozen=True):
    """What a quota limits. model: as its name says it; base: the base id, if its code is known."""

    unit: Unit
    scope: Scope
    model: str
    base: str = ""


def parse_quota_name(code: str, name: str) -> QuotaName | None:
    """Return what a quota limits; None if it is not about calls of one model per minute."""
    if _OTHER_QUOTAS.search(name):
        return None
    if match := _MANTLE.match(name):
        return QuotaName(
            "mantle_input" if match["unit"].lower() == "input" else "mantle_output", "mantle", match["model"]
        )
    match = _RUNTIME.match(name)
    if match is None:
        return None
    unit: Unit = "tokens" if match["unit"].lower() == "tokens" else "requests"
    scope = _SCOPES[match["scope"].lower()]
    base, of_code = _CODES.get(code, ("", scope)) if unit == "tokens" else ("", scope)
    # the name guards the code
    return QuotaName(unit, scope, match["model"], base if of_code == scope else "")


class ModelNames:
    """Finds models by the names that quotas have for them.

    Args:
        entries: the models and inference profiles of the account.
    """

    def __init__(self, entries: Iterable[CatalogEntry]) -> None:
        self._profiles: dict[str, set[str]] = {}
        self._words: dict[str, tuple[str, ...]] = {}
        for entry in entries:
            model = parse_model_id(entry.id)
            self._profiles.setdefault(model.base, set()).add(model.geography)
            title = entry.title.removesuffix(f" ({model.geography})")
            self._words[model.base] = _words(title)

    def base_of(self, quota: QuotaName) -> str:
        """Return the base id of the model of a quota; empty if no model fits, or several do."""
        if quota.base:
            return quota.base
        words = _words(quota.model)
        exact = [base for base, own in self._words.items() if own and words in (own, (_vendor(base), *own))]
        if exact:
            return exact[0] if len(exact) == 1 else ""
        # with the vendor's name spelled otherwise before it
        fitting = [base for base, own in self._words.items() if len(own) > 1 and words[-len(own) :] == own]
        return fitting[0] if len(fitting) == 1 else ""

    def called_as(self, base: str, scope: Scope) -> list[str]:
        """Return the names by which a model is called so that a quota counts."""
        if scope in ("base", "mantle"):
            return [base]
        if scope == "global":
            return [f"global.{base}"]
        found = self._profiles.get(base, set()) - {"", "global"}
        return [f"{geography}.{base}" for geography in sorted(found)]


def _words(name: str) -> tuple[str, ...]:
    """Return the words of a model's name, without a version that only its id has."""
    words = _WORD.findall(name.lower())
    if len(words) > 1 and _VERSION.match(words[-1]):
        words.pop()
    return tuple(words)


def _vendor(base: str) -> str:
    return base.partition(".")[0]
