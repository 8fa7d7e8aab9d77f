"""The fields of limits and budgets in the forms of teams and keys, and the documents that they become."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.admin.api.documents.money import format_usd
from app.admin.api.documents.teams_and_keys import KeyView, TeamView
from app.admin.api.operations.failures import Invalid, OperationRefused
from app.console.visit import Form, Refused

# longer than any limit, and short enough for `int`
_MAX_DIGITS = 20
# name of the field -> name in a document, and for people
LIMITS = {
    "requests_per_minute": "Requests per minute",
    "tokens_per_minute": "Tokens per minute",
    "max_parallel_requests": "Parallel requests",
}
_SHOWN = {**LIMITS, "amount_usd": "Budget (USD)", "expires_at": "Expires", "models": "Models", "name": "Name"}
_SEPARATORS = re.compile(r"[,\s]+")
Document = TypeVar("Document", bound=BaseModel)


class FormFault(Refused):
    """A form whose values are refused. The message names the fields."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message)


def value_of(form: Form, name: str) -> str:
    """Return the value of a field; empty if it is missing."""
    return form.get(name, [""])[0]


def rules_of_form(form: Form) -> dict[str, Any]:
    """Return the members of a document that fields of limits, budget and models set.

    Raises:
        FormFault: a limit is not a number.
    """
    limits: dict[str, Any] = {}
    for name, shown in LIMITS.items():
        if text := value_of(form, name):
            if not text.isdecimal() or len(text) > _MAX_DIGITS:
                raise FormFault(f"{shown} must be a whole number.")
            limits[name] = int(text)
    budgets = []
    if amount := value_of(form, "amount_usd"):
        fields = {name: value_of(form, name) for name in ("period", "action") if value_of(form, name)}
        budgets.append({"amount_usd": amount.removeprefix("$"), "period": "month", **fields})
    patterns = [pattern for pattern in _SEPARATORS.split(value_of(form, "models")) if pattern]
    return {"limits": limits, "budgets": budgets, "models": patterns or None}


def fields_of(view: KeyView | TeamView, form: Form) -> dict[str, Any]:
    """Return the form of a key or team: its values, its revision, and whether it has fields for a budget.

    A form has one budget. Several, and one for each user or label, are changed by the admin API only.

    Args:
        form: one that was refused, whose values are kept; empty for those of the view.
    """
    found = {"revision": view.revision, **_stored_fields(view)}
    found["values"] |= {name: value_of(form, name) for name in found["values"].keys() & form.keys()}
    if "revision" in form:
        # what others changed since it was read is not overwritten
        found["revision"] = value_of(form, "revision")
    return found


def _stored_fields(view: KeyView | TeamView) -> dict[str, Any]:
    values = {name: getattr(view.limits, name) or "" for name in LIMITS}
    values["models"] = ", ".join(view.models or ())
    values |= {"amount_usd": "", "period": "month", "action": "block"}
    plain = [each for each in view.budgets if each.per is None and not each.shadow and each.override is None]
    if plain and len(view.budgets) == 1 and plain[0].mode == "hard":
        (budget,) = plain
        values |= {"amount_usd": format_usd(budget.amount_usd), "period": budget.period, "action": budget.action}
        return {"values": values, "with_budget": True}
    return {"values": values, "with_budget": not view.budgets}


def changed_rules(form: Form, shadow: Sequence[str]) -> dict[str, Any]:
    """Return the members that a form changes. Budgets stay as they are where the form has no field for them.

    Args:
        shadow: the limits that refuse nothing, which stay so.

    Raises:
        FormFault: see `rules_of_form`.
    """
    members = rules_of_form(form)
    members["limits"]["shadow"] = [name for name in shadow if name in members["limits"]]
    if "amount_usd" not in form:
        del members["budgets"]
    return members


def revision_of(form: Form) -> int | None:
    """Return the revision that the reader of a form has seen; None if the form does not say it."""
    text = value_of(form, "revision")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def document_of(kind: type[Document], members: Mapping[str, Any]) -> Document:
    """Return a document. Raises FormFault."""
    try:
        return kind(**members)
    except ValidationError as error:
        faults = [(_name_of(each["loc"]), each["msg"].removeprefix("Value error, ")) for each in error.errors()]
        raise FormFault(" ".join(f"{name}: {message}." for name, message in faults)) from None


def query_of(kind: type[Document], fields: Mapping[str, Any]) -> Document:
    """Return the query of a list. Fields that are empty choose nothing. Raises FormFault."""
    return document_of(kind, {name: value for name, value in fields.items() if value})


def fault_of(error: OperationRefused) -> str:
    """Return why an operation is refused, with the names of the fields."""
    if isinstance(error, Invalid):
        return " ".join(f"{_name_of(fault.param.split('.'))}: {fault.message}." for fault in error.faults)
    return f"{error.message[:1].upper()}{error.message[1:]}."


def _name_of(location: Any) -> str:
    known = [_SHOWN[str(part)] for part in location if str(part) in _SHOWN]
    return known[-1] if known else ".".join(map(str, location))
