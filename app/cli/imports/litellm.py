"""Reads teams and keys of LiteLLM: the answers of its API, or rows of its tables as JSON.

A team or key that has a limit or a budget without a counterpart is created `blocked`, so that nobody may do more than
before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from app.cli.administration.client import Document
from app.cli.imports.plan import Plan, Planned

_PERIODS = {
    "1d": "day", "24h": "day", "7d": "week", "1w": "week", "30d": "month", "31d": "month", "1mo": "month", "": "total",
}  # fmt: skip
_LIMITS = {
    "rpm_limit": "requests_per_minute",
    "tpm_limit": "tokens_per_minute",
    "max_parallel_requests": "max_parallel_requests",
}
_ALL_MODELS = frozenset({"all-proxy-models", "all-team-models", "*"})
_NO_MODELS = "no-default-models"
# members that limit what callers may do, and have no counterpart
_RESTRICTIONS = (
    "model_max_budget", "model_rpm_limit", "model_tpm_limit", "team_member_budget", "team_member_rpm_limit",
    "team_member_tpm_limit", "budget_limits", "allowed_routes", "allowed_cache_controls", "allowed_passthrough_routes",
    "object_permission", "access_group_ids",
)  # fmt: skip
# others of which the administrator should know
_OTHERS = (
    "members_with_roles", "members", "admins", "aliases", "router_settings", "tags", "guardrails", "policies",
    "permissions", "organization_id", "project_id", "agent_id",
)  # fmt: skip
_LABEL = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_MAX_LABEL = 256
_MAX_NAME = 128
_PREFIX = "bedrock/"
# the team of the keys that LiteLLM makes for sessions of its pages
_SESSIONS = "litellm-dashboard"


class NotLiteLlm(Exception):
    """A document holds neither teams nor keys of LiteLLM."""


def plan_of(documents: Iterable[object], team: str) -> Plan:
    """Return what to create.

    Args:
        documents: of `/team/list` and `/key/list?return_full_object=true`, or lists of rows of LiteLLM_TeamTable and
            LiteLLM_VerificationToken. team: the name of the one that gets keys without a team.

    Raises:
        NotLiteLlm: a document is none of these.
    """
    plan = Plan()
    keys: list[Document] = []
    for document in documents:
        for row in _rows(document):
            if row.get("team_id") == _SESSIONS:
                continue
            if "token" in row or "key_name" in row:
                keys.append(row)
            elif "team_id" in row:
                plan.teams[str(row["team_id"])] = _team(row)
            else:
                raise NotLiteLlm("an entry has neither `token` nor `team_id`")
    for row in keys:
        source = str(row.get("team_id") or "")
        if source not in plan.teams:
            losses = (f"LiteLLM's team {source} is not in the files",) if source else ()
            plan.teams.setdefault(source, Planned({"name": source or team}, losses))
        plan.keys.append((source, _key(row)))
    return plan


def _rows(document: object) -> list[Document]:
    if isinstance(document, Mapping):
        found = [row for name in ("teams", "keys", "data") if name in document for row in _rows(document[name])]
        tables = [row for name, rows in document.items() if str(name).startswith("LiteLLM_") for row in _rows(rows)]
        if not found and not tables:
            raise NotLiteLlm("it has none of `teams`, `keys`, LiteLLM_TeamTable, LiteLLM_VerificationToken")
        return found + tables
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise NotLiteLlm("it holds no list of teams or keys; /key/list needs return_full_object=true")
    return document


def _team(row: Document) -> Planned:
    name = str(row.get("team_alias") or row["team_id"])
    return _planned(row, name).marked(f"litellm:{str(row['team_id'])[:64]}")


def _key(row: Document) -> Planned:
    token = str(row.get("token") or row.get("key_name"))
    name = str(row.get("key_alias") or row.get("key_name") or token[:12])
    planned = _planned(row, name).marked(f"litellm:{token[:64]}")
    if row.get("user_id"):
        planned.body["person"] = str(row["user_id"])[:_MAX_LABEL]
    if row.get("expires"):
        planned.body["expires_at"] = _time(str(row["expires"]))
    return planned


def _planned(row: Document, name: str) -> Planned:
    # a row may refer to a row of LiteLLM_BudgetTable
    shared = row.get("litellm_budget_table")
    if isinstance(shared, dict):
        row = {**row, **{key: value for key, value in shared.items() if value is not None and not row.get(key)}}
    losses, missing = [], []
    body: Document = {"name": "".join(each for each in name if each.isprintable())[:_MAX_NAME] or "unnamed"}
    body["limits"] = {ours: int(row[theirs]) for theirs, ours in _LIMITS.items() if _is_limit(row.get(theirs))}
    missing += [f"{theirs} of 0" for theirs in _LIMITS if row.get(theirs) == 0]
    budgets, lost = _budgets(row)
    missing += lost
    if budgets:
        body["budgets"] = budgets
    models = [str(each) for each in row.get("models") or ()]
    if models and not _ALL_MODELS & set(models):
        body["models"] = [each.removeprefix(_PREFIX) for each in models if each != _NO_MODELS] or ["none"]
    missing += [each for each in _RESTRICTIONS if row.get(each)]
    labels, not_labels = _labels(row.get("metadata"))
    body["labels"] = labels
    restrictions = [each for each in not_labels if each in _RESTRICTIONS or each.endswith("_limit")]
    missing += [f"metadata.{each}" for each in restrictions]
    losses += [f"metadata.{each} is not carried over" for each in not_labels if each not in restrictions]
    losses += [f"{each} is not carried over" for each in _OTHERS if row.get(each)]
    if row.get("blocked") or missing:
        body["status"] = "blocked"
    losses += [f"{each} has no counterpart, so it is created blocked" for each in missing]
    return Planned(body, losses)


def _is_limit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _budgets(row: Document) -> tuple[list[Document], list[str]]:
    """Return the budgets, and which have no counterpart."""
    budgets: list[Document] = []
    lost: list[str] = []
    duration = str(row.get("budget_duration") or "")
    for theirs, action in (("max_budget", "block"), ("soft_budget", "warn")):
        value = row.get(theirs)
        if value is None:
            continue
        try:
            amount = Decimal(str(value)).quantize(Decimal("0.000000001"))
        except InvalidOperation:
            amount = Decimal("nan")
        if duration not in _PERIODS or amount.is_nan() or amount < 0:
            lost.append(f"{theirs} of {value} for {duration or 'ever'}")
            continue
        budgets.append({"amount_usd": f"{amount:f}", "period": _PERIODS[duration], "action": action})
    return budgets, lost


def _labels(metadata: Any) -> tuple[dict[str, str], list[str]]:
    """Return the texts and numbers in metadata as labels, and the names of its other members."""
    labels: dict[str, str] = {}
    others: list[str] = []
    for name, value in (metadata if isinstance(metadata, dict) else {}).items():
        is_plain = isinstance(value, str | int | float) and not name.endswith("_limit")
        text = str(value)
        if is_plain and _LABEL.match(name) and text.isprintable() and len(text) <= _MAX_LABEL and len(labels) < 30:
            labels[name] = text
        elif value:
            others.append(name)
    return labels, others


def _time(text: str) -> str:
    """Return a time with its zone: LiteLLM's database has UTC without saying so."""
    has_zone = text.endswith("Z") or re.search(r"[+-]\d\d:?\d\d\Z", text)
    return text.replace(" ", "T") if has_zone else f"{text.replace(' ', 'T')}Z"
