"""Prints the section of CHANGELOG.md for a version: `release_notes.py v1.2.3`. Fails unless app/ has that version."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes(changelog: str, version: str) -> str:
    """Return the section of a version.

    Raises:
        ValueError: the section is missing or empty.
    """
    match = re.search(rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if match is None or not match[1].strip():
        raise ValueError(f"CHANGELOG.md has no section for {version}: add '## [{version}]' with the changes")
    return match[1].strip() + "\n"


def main() -> int:
    """Run the command line; return 1 if the version cannot be released."""
    version = sys.argv[1].removeprefix("v")
    declared = re.search(r'^__version__ = "(.*)"', (ROOT / "app/__init__.py").read_text(), re.MULTILINE)
    if declared is None or declared[1] != version:
        sys.stderr.write(f"the version in app/__init__.py is not {version}: change it, or the tag\n")
        return 1
    try:
        sys.stdout.write(notes((ROOT / "CHANGELOG.md").read_text(), version))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
