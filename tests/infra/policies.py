"""Reads the IAM policy statements of a template, and evaluates intrinsic functions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Statement:
    """A policy statement. owner: logical id of its resource."""

    owner: str
    actions: tuple[str, ...]
    resources: tuple[Any, ...]
    condition: dict[str, Any]
    principal: Any
    raw: dict[str, Any]


def statements(template: dict[str, Any]) -> Iterator[Statement]:
    """Iterate over the statements of all policy documents, trust policies included."""
    for owner, resource in template["Resources"].items():
        for document in _documents(resource.get("Properties", {})):
            for entry in document["Statement"]:
                raw = entry["Fn::If"][1] if "Fn::If" in entry else entry
                yield Statement(
                    owner,
                    tuple(_list(raw.get("Action", []))),
                    tuple(_list(raw.get("Resource", []))),
                    raw.get("Condition", {}),
                    raw.get("Principal"),
                    raw,
                )


def evaluate(value: Any, parameters: dict[str, str]) -> Any:
    """Evaluate Ref, Sub, Join, Select and Split; keep everything else."""
    if isinstance(value, list):
        return [evaluate(member, parameters) for member in value]
    if not isinstance(value, dict):
        return value
    (name, argument), *more = value.items()
    if more or name not in _FUNCTIONS:
        return {key: evaluate(member, parameters) for key, member in value.items()}
    return _FUNCTIONS[name](argument, parameters)


def _sub(argument: Any, parameters: dict[str, str]) -> str:
    text, more = argument if isinstance(argument, list) else (argument, {})
    known = {**parameters, **{key: evaluate(member, parameters) for key, member in more.items()}}
    return re.sub(r"\$\{([^}]+)\}", lambda match: known[match[1]], text)


def _join(argument: Any, parameters: dict[str, str]) -> str:
    between, members = evaluate(argument, parameters)
    return str(between).join(members)


def _select(argument: Any, parameters: dict[str, str]) -> Any:
    index, members = evaluate(argument, parameters)
    return members[int(index)]


def _split(argument: Any, parameters: dict[str, str]) -> list[str]:
    between, text = evaluate(argument, parameters)
    return str(text).split(between)


_FUNCTIONS = {
    "Ref": lambda argument, parameters: parameters[argument],
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
}


def _documents(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if {"Version", "Statement"} <= value.keys():
            yield value
            return
        for member in value.values():
            yield from _documents(member)
    elif isinstance(value, list):
        for member in value:
            yield from _documents(member)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
