"""The terms of docs/glossary.md: the names that they replaced are used nowhere, in code, tests or documents."""

import re
import subprocess

import pytest

from tests.contract.test_architecture import ROOT

# former names in code, and the terms that replaced them
IN_CODE = {
    r"Doors?|Entrance": "endpoint, route table, endpoint handler",
    r"Exchange|exchange": "request context",
    r"Threshold": "ingress limits",
    r"Ways?|way_to|whole_way|stream_way": "operation",
    r"_?Leg|legs?": "candidate",
    r"Place": "upstream location, permit, worker slot",
    r"Share|Siblings": "worker context, worker peers",
    r"Board": "shared counter array",
    r"Attendance": "connection registry",
    r"Joined|Outlet|outlet|Once": "coalescing writer, non-blocking log writer, lazy",
    r"Whole|Streamed": "complete response, streaming response",
    r"most_(?!common)\w+|_?MOST_\w+": "max_*",
}
# former names everywhere, in prose too
EVERYWHERE = {
    r"floors?": "layer",
    r"doors?|entrances?": "endpoint",
    r"lanes?": "mode",
    r"places?": "upstream location, permit, worker slot, index",
    r"[Tt]raits?": "capability",
    r"[Ll]essons?": "capability override",
    r"[Tt]ailor\w*": "adapt",
    r"[Dd]rafts?": "adapted request",
    r"[Rr]epair\w*": "adjustment",
    r"[Ll]eash": "disconnect guard",
    r"siblings?|lifeline": "worker peers, shutdown pipe",
    r"[Tt]all(?:y|ies)": "shared counter",
    r"[Ss]eal(?:s|ed|ing)?": "reasoning signer",
    r"[Tt]houghts?": "reasoning",
    r"[Pp]atience": "timeout",
    r"[Uu]nproven": "unverified",
    r"[Ee]ndure|endurance": "soak",
    r"pains?|pouring": "known issues, stream helpers",
}
# public names that keep working, and the keys and words of others
ALLOWED = re.compile(
    r"x-outcrop-repaired|seal_secret|SEAL_SECRET|the former name|\"(?:repaired|lane|place|traits|facts)\"",
    re.IGNORECASE,
)
SUFFIXES = (".py", ".md", ".sh", ".yml", ".yaml", ".toml", ".template")
# the changelog announces the renames; AWS and other projects name things as they like
NOT_OURS = (
    "CHANGELOG.md", "tests/contract/test_vocabulary.py", "tests/contract/test_citations.py", "docs/glossary.md", "docs/operate/upgrading.md",
)  # fmt: skip


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The texts of the tracked files that we write."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {
        name: ALLOWED.sub("", (ROOT / name).read_text())
        for name in listed.stdout.splitlines()
        if name.endswith(SUFFIXES) and name not in NOT_OURS and not name.startswith("requirements")
    }


def uses(former: str, texts: dict[str, str], suffixes: tuple[str, ...]) -> list[str]:
    """Where a former name is used, as a whole word or as a part of an identifier between underscores."""
    word = re.compile(rf"(?<![A-Za-z0-9])(?:{former})(?![A-Za-z0-9])")
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts.items()
        if name.endswith(suffixes) and word.search(text)
        for number, line in enumerate(text.splitlines(), start=1)
        if word.search(line)
    ]


@pytest.mark.parametrize(("former", "term"), IN_CODE.items())
def test_no_code_uses_a_former_name(former: str, term: str, texts: dict[str, str]) -> None:
    assert uses(former, texts, (".py",)) == [], f"write: {term}"


@pytest.mark.parametrize(("former", "term"), EVERYWHERE.items())
def test_nothing_uses_a_former_name(former: str, term: str, texts: dict[str, str]) -> None:
    assert uses(former, texts, SUFFIXES) == [], f"write: {term}"


def test_the_rule_finds_words_and_parts_of_identifiers() -> None:
    bad = {"a.py": "_place = 1\nreplaced = placement = 1", "a.md": "One.\nThe place of it."}
    assert uses("places?", bad, SUFFIXES) == ["a.py:1: _place = 1", "a.md:2: The place of it."]
