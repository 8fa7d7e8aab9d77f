"""The options that set the members of teams and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from app.cli.administration.client import Document
from app.wire import json

F = TypeVar("F", bound=Callable[..., Any])
_PERIODS = ("day", "week", "month", "total")
_NONE = "none"
_BUDGET_WORDS = {
    "warn": ("action", "warn"),
    "block": ("action", "block"),
    "estimated": ("mode", "estimated"),
    "hard": ("mode", "hard"),
    "shadow": ("shadow", True),
}
_LIMITS = {"requests": "requests_per_minute", "tokens": "tokens_per_minute", "parallel": "max_parallel_requests"}


class _BudgetType(click.ParamType[Document | str]):
    """`25/month`, or `25/month,warn`."""

    name = "USD/PERIOD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Document | str:
        if not isinstance(value, str) or value == _NONE:
            return _NONE
        amount, separator, rest = value.partition("/")
        period, *words = rest.split(",")
        if not separator or period not in _PERIODS or any(word not in _BUDGET_WORDS for word in words):
            known = ", ".join(_BUDGET_WORDS)
            self.fail(f"{value!r}: write AMOUNT/{'|'.join(_PERIODS)}, and after commas any of {known}", param, ctx)
        return {"amount_usd": amount, "period": period, **dict(_BUDGET_WORDS[word] for word in words)}


class _LabelType(click.ParamType[tuple[str, str]]):
    """`name=value`."""

    name = "NAME=VALUE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, separator, text = str(value).partition("=")
        if not separator and name != _NONE:
            self.fail(f"{value!r}: write NAME=VALUE", param, ctx)
        return name, text


class _LimitType(click.ParamType[int | str]):
    """A number, or `none`."""

    name = "NUMBER"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == _NONE:
            return _NONE
        try:
            return int(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)


_OPTIONS = (
    click.option("--model", "models", multiple=True, help="A pattern of models that may be called; `none` for all."),
    click.option("--requests", type=_LimitType(), help="Requests per minute; `none` for no limit."),
    click.option("--tokens", type=_LimitType(), help="Tokens per minute."),
    click.option("--parallel", type=_LimitType(), help="Parallel requests."),
    click.option("--budget", "budgets", multiple=True, type=_BudgetType(), help="Such as 25/month or 5/day,warn."),
    click.option("--label", "labels", multiple=True, type=_LabelType(), help="A label; `none` for no labels."),
    click.option("--default-max-tokens", type=_LimitType(), help="Of calls that set none."),
    click.option("--largest-max-tokens", type=_LimitType(), help="The most that a call may set."),
    click.option("--guardrail", metavar="ID[:VERSION]", help="A guardrail on every call; `none` for none."),
    click.option("--status", type=click.Choice(["active", "blocked"])),
    click.option(
        "--members", type=click.File("rb"), help="A JSON file with more members, as the admin API takes them."
    ),
)


def member_options(command: F) -> F:
    """Add the options that teams and keys both have. Each that is given replaces the member as a whole."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def body_of(options: dict[str, Any], before: Document | None = None) -> Document:
    """Return the members that options set.

    Args:
        options: those of `member_options`, and others whose names are those of members.
        before: the object, if it is changed: limits that no option names stay as they are.
    """
    file = options.pop("members", None)
    body: Document = _members_in(file) if file is not None else {}
    given = {name: options.pop(name) for name in _LIMITS}
    if any(each is not None for each in given.values()):
        limits = dict(before["limits"]) if before else {}
        limits |= {_LIMITS[name]: None if each == _NONE else each for name, each in given.items() if each is not None}
        body["limits"] = limits
    models, labels, budgets = (options.pop(name) for name in ("models", "labels", "budgets"))
    if models:
        body["models"] = None if models == (_NONE,) else [*models]
    if labels:
        body["labels"] = {} if labels == ((_NONE, ""),) else dict(labels)
    if budgets:
        body["budgets"] = [each for each in budgets if each != _NONE]
    if guardrail := options.pop("guardrail", None):
        body["guardrail"] = _guardrail(guardrail)
    body |= {name: None if value == _NONE else value for name, value in options.items() if value is not None}
    return body


def _guardrail(text: str) -> Document | None:
    if text == _NONE:
        return None
    # an ARN has colons, too
    name, _, version = text.rpartition(":")
    if name and (version.isdecimal() or version == "DRAFT"):
        return {"id": name, "version": version}
    return {"id": text}


def _members_in(file: Any) -> Document:
    try:
        document = json.loads(file.read())
    except json.JsonError as error:
        raise click.ClickException(f"{file.name} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise click.ClickException(f"{file.name} must hold a JSON object")
    return document
