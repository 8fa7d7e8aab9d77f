"""Reads CloudFormation templates in YAML."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "infra"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Loads YAML with the short forms of CloudFormation functions, such as `!Ref x`, `!Sub x` and `!GetAtt a.b`."""


def _short_form(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if name in ("Ref", "Condition"):
        return {name: value}
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _short_form)


def load_template(name: str) -> dict[str, Any]:
    """Load a template from infra/, with short forms of functions expanded."""
    loaded: dict[str, Any] = yaml.load((FOLDER / name).read_text(), Loader=_Loader)  # noqa: S506 -- derived from SafeLoader
    return loaded
