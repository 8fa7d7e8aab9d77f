"""Compares `app/models/prices.json` with a price list in LiteLLM's format, which is public, and updates it.

    python -m scripts.prices model_prices_and_context_window.json
    python -m scripts.prices LIST --write --source "litellm 1.111 (PyPI, 2026-12-20)" --second "AWS user guide, 2026-12"

Each line is a difference: `+` a model that is only in the list, `~` a figure that differs, `-` a model that only the
file has. `--write` takes the list's figures, and keeps the rows that only the file has. Each row needs two sources, so
the second one must have confirmed the figures.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from app.wire import json
from app.wire.json import JsonObject

FILE = Path(__file__).parent.parent / "app" / "models" / "prices.json"
_PROVIDERS = ("bedrock", "bedrock_converse", "bedrock_mantle")
_REGION = re.compile(r"bedrock(_mantle)?/[a-z]{2}(-[a-z]+)+-[0-9]/")
_GEOGRAPHY = re.compile(r"(us-gov|us|eu|apac|jp|au|in|ca|global)\.(?=[a-z0-9]+\.)")
_BASE = re.compile(r"[a-z0-9]+\.[a-z0-9.:-]+\Z")
_MEMBERS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
}
_ABOVE = re.compile(r"input_cost_per_token_above_([0-9]+)k_tokens")
_TIERS = ("flex", "priority")
_MILLION = 1_000_000


def rows_of(price_list: JsonObject) -> dict[str, JsonObject]:
    """Return a row of the file for each model of a list, by base id.

    A row has the figures of the global profile where there is one, and the factor of the others.
    """
    by_base: dict[str, dict[str, list[JsonObject]]] = {}
    for name, entry in price_list.items():
        if entry.get("litellm_provider") not in _PROVIDERS or _REGION.match(name):
            continue
        called = name.rpartition("/")[2]
        geography = match[1] if (match := _GEOGRAPHY.match(called)) else ""
        base = called[match.end() :] if match else called
        # a price of 0 is one by request, and ids without a vendor or with a date are other providers'
        if _BASE.match(base) and _figures(entry).get("input"):
            by_base.setdefault(base, {}).setdefault(geography, []).append(entry)
    return {base: _row(entries) for base, entries in by_base.items()}


def _figures(entry: JsonObject, suffix: str = "") -> JsonObject:
    made = {name: entry.get(member + suffix) for name, member in _MEMBERS.items()}
    figures = {name: round(value * _MILLION, 6) for name, value in made.items() if value is not None}
    return figures if {"input", "output"} <= figures.keys() else {}


def _row(entries: dict[str, list[JsonObject]]) -> JsonObject:
    chosen = next(entries[geography][0] for geography in ("global", "", "us", *entries) if geography in entries)
    row = _figures(chosen)
    if regional := entries.get("us"):
        factor = round(_figures(regional[0])["input"] / row["input"], 3)
        if factor > 1.0:
            row["regional"] = factor
    above = next((match[1] for name in chosen if (match := _ABOVE.fullmatch(name))), None)
    if above is not None and (beyond := _figures(chosen, f"_above_{above}k_tokens")):
        row["beyond"] = {"tokens": int(above) * 1000, **beyond}
    listed = {name for group in entries.values() for entry in group for name in entry}
    if tiers := [tier for tier in _TIERS if f"input_cost_per_token_{tier}" in listed]:
        row["tiers"] = tiers
    return row


def differences(ours: dict[str, JsonObject], theirs: dict[str, JsonObject]) -> Iterator[str]:
    """Yield a line for each difference between the file's rows and those of a list."""
    for base in sorted(ours.keys() | theirs.keys()):
        if base not in ours:
            yield f"+ {base} {json.dumps_text(theirs[base])}"
        elif base not in theirs:
            yield f"- {base}"
        else:
            mine = {name: value for name, value in ours[base].items() if name != "sources"}
            for name in sorted(mine.keys() | theirs[base].keys()):
                before, after = mine.get(name), theirs[base].get(name)
                if before != after:
                    yield f"~ {base} {name} {before} -> {after}"


def updated(document: JsonObject, theirs: dict[str, JsonObject], sources: Sequence[str], today: str) -> JsonObject:
    """Return the file's document with the figures of a list. sources: those that the changed rows name."""
    known = [*document["sources"], *[source for source in sources if source not in document["sources"]]]
    numbers = [known.index(source) for source in sources]
    rows: dict[str, JsonObject] = dict(document["models"])
    for base, row in theirs.items():
        before = {name: value for name, value in rows.get(base, {}).items() if name != "sources"}
        if before != row:
            rows[base] = {**row, "sources": numbers}
    return {**document, "version": today, "sources": known, "models": rows}


def render(document: JsonObject) -> str:
    """Return the text of the file, a line for each row."""
    rows = ",\n".join(f"{json.dumps_text(base)}: {_line(row)}" for base, row in sorted(document["models"].items()))
    sources = ",\n".join(f" {json.dumps_text(source)}" for source in document["sources"])
    names = ("version", "unit", "tiers", "guardrails")
    head = "".join(f"{json.dumps_text(name)}: {_line(document[name])},\n" for name in names)
    return f'{{\n{head}"sources": [\n{sources}\n],\n"models": {{\n{rows}\n}}\n}}\n'


def _line(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps_text(name)}: {_line(inside)}" for name, inside in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_line, value)) + "]"
    return json.dumps_text(value)


def main(arguments: Sequence[str]) -> int:
    """Show the differences, and write them if the arguments say so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path, help="the price list, a JSON file")
    parser.add_argument("--write", action="store_true", help="take the list's figures")
    parser.add_argument("--source", help="name and date of the list")
    parser.add_argument("--second", help="name and date of the source that confirms its figures")
    given = parser.parse_args(arguments)
    if given.write and not (given.source and given.second):
        parser.error("--write needs --source and --second: each row has two sources")
    document = json.loads(FILE.read_bytes())
    theirs = rows_of(json.loads(given.list.read_bytes()))
    for line in differences(document["models"], theirs):
        sys.stdout.write(line + "\n")
    if given.write:
        today = datetime.now(UTC).date().isoformat()
        FILE.write_text(render(updated(document, theirs, (given.source, given.second), today)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
