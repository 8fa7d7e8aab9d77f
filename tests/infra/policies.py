"""Reads the IAM policy statements of a template."""

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


def _documents(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "Statement" in value:
            yield value
            return
        for member in value.values():
            yield from _documents(member)
    elif isinstance(value, list):
        for member in value:
            yield from _documents(member)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
