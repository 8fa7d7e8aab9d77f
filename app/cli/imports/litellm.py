"""Reads teams and keys of LiteLLM: the answers of its API, or rows of its tables as JSON.

A team or key that has a limit or a budget without a counterpart is created `blocked`, so that nobody may do more than
before.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal, InvalidOperation

from pydantic import ValidationError

from app.admin.api.documents.teams_and_keys import KeyCreate, TeamCreate
from app.cli.administration.client import Document
from app.cli.imports.plan import MAX_NAME, Plan, Planned
from app.wire import json

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
# keys of the type "LLM API" may call what every key of the gateway may call
_UNRESTRICTED = {"allowed_routes": ["llm_api_routes"]}
# others of which the administrator should know
_OTHERS = (
    "members_with_roles", "members", "admins", "aliases", "router_settings", "tags", "guardrails", "policies",
    "permissions", "organization_id", "project_id", "agent_id",
)  # fmt: skip
_LABEL = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_MAX_LABEL = 256
_MAX_ORIGIN = 64
# the largest that the admin API takes, which nobody reaches
_MAX_LIMIT = Decimal(10**12)
_MAX_USD = Decimal(999_999_999)
_PREFIX = "bedrock/"
# the user of the keys that nobody in particular holds: whoever has the master key made them
_NOBODY = "default_user_id"
# the team of the keys that LiteLLM makes for sessions of its pages
_SESSIONS = "litellm-dashboard"


class NotLiteLlm(Exception):
    """A document holds neither teams nor keys of LiteLLM."""


def plan_of(rows: Iterable[Document], team: str) -> Plan:
    """Return what to create.

    Args:
        rows: of teams and keys; see `rows_of`. team: the name of the one that gets keys without a team.
    """
    plan = Plan()
    keys: list[Document] = []
    for row in rows:
        if row.get("team_id") == _SESSIONS:
            continue
        if _is_key(row):
            keys.append(row)
        else:
            plan.teams[str(row["team_id"])] = _team(row)
    for row in keys:
        key = _key(row)
        if _has_expired(key):
            plan.left_out.append(f"key {key.name}: it has expired, and is left out")
            continue
        source = str(row.get("team_id") or "")
        if not source:
            plan.teams.setdefault(source, Planned({"name": team}))
        elif source not in plan.teams:
            blocked = {"name": _printable(source, MAX_NAME), "status": "blocked"}
            losses = ["it is not in the files, so its limits are not known, and it is created blocked"]
            plan.teams[source] = Planned(blocked, losses).marked(_origin(source))
        plan.keys.append((source, key))
    return plan


def rows_of(document: object) -> list[Document]:
    """Return the rows of teams and keys in a document.

    Args:
        document: of `/team/list` or `/key/list?return_full_object=true`, or lists of rows of LiteLLM_TeamTable and
            LiteLLM_VerificationToken.

    Raises:
        NotLiteLlm: it is none of these.
    """
    if isinstance(document, Mapping):
        found = [row for name in ("teams", "keys", "data") if name in document for row in rows_of(document[name])]
        tables = [row for name, rows in document.items() if str(name).startswith("LiteLLM_") for row in rows_of(rows)]
        if not found and not tables:
            raise NotLiteLlm("it has none of `teams`, `keys`, LiteLLM_TeamTable, LiteLLM_VerificationToken")
        return found + tables
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise NotLiteLlm("it holds no list of teams or keys; /key/list needs return_full_object=true")
    for number, row in enumerate(document, 1):
        if not _is_key(row) and "team_id" not in row:
            raise NotLiteLlm(f"entry {number} has neither `token` nor `team_id`")
    return document


def _is_key(row: Document) -> bool:
    return "token" in row or "key_name" in row


def _team(row: Document) -> Planned:
    name = str(row.get("team_alias") or row["team_id"])
    body, losses, missing = _read(row, name)
    return _planned(body, losses, missing, TeamCreate, str(row["team_id"]))


def _key(row: Document) -> Planned:
    token = str(row.get("token") or row.get("key_name"))
    name = str(row.get("key_alias") or row.get("key_name") or token[:12])
    body, losses, missing = _read(row, name)
    if row.get("user_id") not in (None, "", _NOBODY):
        body["person"] = _printable(row["user_id"], _MAX_LABEL)
    if row.get("expires"):
        try:
            body["expires_at"] = _time(str(row["expires"]))
        except (ValueError, OverflowError):
            missing.append(f"expires of {row['expires']}")
    return _planned(body, losses, missing, KeyCreate, token)


def _has_expired(key: Planned) -> bool:
    """Return whether the admin API would refuse a key because its end has passed."""
    end = key.body.get("expires_at")
    return end is not None and datetime.fromisoformat(end) <= datetime.now(UTC)


def _planned(
    body: Document, losses: list[str], missing: list[str], document: type[TeamCreate | KeyCreate], origin: str
) -> Planned:
    """Return a team or a key; blocked if it lacks a limit, or a member that the admin API refuses.

    Args:
        missing: limits without a counterpart. document: what the admin API takes. origin: its id at LiteLLM.
    """
    try:
        document.model_validate({**body, "team_id": ""} if document is KeyCreate else body)
    except ValidationError as refused:
        for member in sorted({str(error["loc"][0]) for error in refused.errors()}):
            missing.append(f"{member} of {body.pop(member, None)}")
    if missing:
        body["status"] = "blocked"
    losses = [*losses, *(f"{each} has no counterpart, so it is created blocked" for each in missing)]
    return Planned(body, losses).marked(_origin(origin))


def _origin(of: str) -> str:
    return f"litellm:{_printable(of, _MAX_ORIGIN)}"


def _read(row: Document, name: str) -> tuple[Document, list[str], list[str]]:
    """Return what teams and keys both have, what of it is not carried over, and which limits have no counterpart."""
    losses, missing = [], []
    # a row may refer to a row of LiteLLM_BudgetTable
    shared = row.get("litellm_budget_table")
    if isinstance(shared, dict):
        row = {**row, **{key: value for key, value in shared.items() if value is not None and not row.get(key)}}
    elif row.get("budget_id"):
        missing.append(f"budget_id of {row['budget_id']}")
    body: Document = {"name": _printable(name, MAX_NAME) or "unnamed"}
    body["limits"], lost = _limits(row)
    missing += lost
    budgets, lost = _budgets(row)
    missing += lost
    if budgets:
        body["budgets"] = budgets
    models = row.get("models") or []
    if not isinstance(models, list):
        models = [_NO_MODELS]
        missing.append("a text in models")
    models = [str(each) for each in models]
    if models and not _ALL_MODELS & set(models):
        body["models"] = [each.removeprefix(_PREFIX) for each in models if each != _NO_MODELS] or ["none"]
    missing += [each for each in _RESTRICTIONS if row.get(each) and row[each] != _UNRESTRICTED.get(each)]
    metadata = row.get("metadata") or {}
    if isinstance(metadata, str):
        with contextlib.suppress(json.JsonError):
            metadata = json.loads(metadata)
    if not isinstance(metadata, dict):
        metadata = {}
        missing.append("a text in metadata")
    labels, not_labels = _labels(metadata)
    body["labels"] = labels
    restrictions = [each for each in not_labels if each in _RESTRICTIONS or each.endswith("_limit")]
    missing += [f"metadata.{each}" for each in restrictions]
    losses += [f"metadata.{each} is not carried over" for each in not_labels if each not in restrictions]
    losses += [f"{each} is not carried over" for each in _OTHERS if row.get(each)]
    if row.get("blocked"):
        body["status"] = "blocked"
    return body, losses, missing


def _number(value: object) -> Decimal:
    """Return a number, also of a text: programs write the columns of 64 bits so. NaN for what is none."""
    try:
        return Decimal("nan") if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        return Decimal("nan")


def _limits(row: Document) -> tuple[dict[str, int], list[str]]:
    """Return the limits, and which have no counterpart."""
    limits: dict[str, int] = {}
    lost: list[str] = []
    for theirs, ours in _LIMITS.items():
        value = row.get(theirs)
        if value is None:
            continue
        number = _number(value)
        if number.is_nan() or number < 1:
            lost.append(f"{theirs} of {value}")
        else:
            limits[ours] = int(min(number, _MAX_LIMIT))
    return limits, lost


def _budgets(row: Document) -> tuple[list[Document], list[str]]:
    """Return the budgets, and which have no counterpart."""
    budgets: list[Document] = []
    lost: list[str] = []
    duration = str(row.get("budget_duration") or "")
    for theirs, action in (("max_budget", "block"), ("soft_budget", "warn")):
        value = row.get(theirs)
        if value is None:
            continue
        amount = _number(value)
        if duration not in _PERIODS or amount.is_nan() or amount < 0:
            lost.append(f"{theirs} of {value} for {duration or 'ever'}")
            continue
        amount = min(amount, _MAX_USD).quantize(Decimal("0.000000001"), ROUND_DOWN)
        budgets.append({"amount_usd": f"{amount:f}", "period": _PERIODS[duration], "action": action})
    return budgets, lost


def _labels(metadata: Document) -> tuple[dict[str, str], list[str]]:
    """Return the texts and numbers in metadata as labels, and the names of its other members."""
    labels: dict[str, str] = {}
    others: list[str] = []
    for name, value in metadata.items():
        is_plain = isinstance(value, str | int | float) and not name.endswith("_limit")
        text = str(value)
        if is_plain and _LABEL.match(name) and text.isprintable() and len(text) <= _MAX_LABEL and len(labels) < 30:
            labels[name] = text
        elif value:
            others.append(name)
    return labels, others


def _printable(text: object, length: int) -> str:
    return "".join(filter(str.isprintable, str(text)))[:length]


def _time(text: str) -> str:
    """Return a time with its zone: LiteLLM's database has UTC without saying so. Raises ValueError: it is none."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
