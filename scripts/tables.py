"""Writes the tables of settings and parameters into DEPLOYMENT.md, from the code itself: python -m scripts.tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.config.settings import Settings
from scripts.templates import load_template

DOCUMENT = Path(__file__).parents[1] / "DEPLOYMENT.md"


def settings_table() -> str:
    """Every setting of the gateway, its default, and what it means."""
    return _table("variable", _settings())


def parameters_table() -> str:
    """Every parameter of the stack, its default, and what it means."""
    return _table("parameter", _parameters())


TABLES = {"settings": settings_table, "parameters": parameters_table}


def marks(name: str) -> tuple[str, str]:
    """Between which lines a table stands."""
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"


def _settings() -> Iterator[tuple[str, str, str]]:
    for name, field in Settings.model_fields.items():
        yield name.upper(), "required" if field.is_required() else _shown(field.default), field.description or ""


def _parameters() -> Iterator[tuple[str, str, str]]:
    for name, entry in load_template("service.yml")["Parameters"].items():
        yield name, _shown(entry["Default"] or None) if "Default" in entry else "required", entry["Description"]


def _table(kind: str, rows: Iterator[tuple[str, str, str]]) -> str:
    lines = [f"| {kind} | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in rows]
    return "\n".join(lines) + "\n"


def _shown(default: Any) -> str:
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def main() -> None:
    """Replace what stands between the marks."""
    text = DOCUMENT.read_text()
    for name, table in TABLES.items():
        begin, end = marks(name)
        before, _, rest = text.partition(begin)
        text = before + begin + table() + end + rest.partition(end)[2]
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
