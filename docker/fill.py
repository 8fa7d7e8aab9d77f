"""Fills in a template of this folder, for a service of your own.

    fill.py TEMPLATE NAME=VALUE ... > FILE

A template's names stand between @ signs, and its head says what they mean; a missing or an unknown one is refused. The
head, which is the lines that begin with `#|`, is left out of the result.
"""

import re
import sys
from pathlib import Path

_NAME = re.compile(r"@([A-Z_]+)@")


def fill(template: str, values: dict[str, str]) -> str:
    """The template with its names replaced.

    Raises:
        ValueError: a name has no value, or a value no name.
    """
    body = "".join(line for line in template.splitlines(keepends=True) if not line.startswith("#|"))
    names = set(_NAME.findall(body))
    if missing := sorted(names - values.keys()):
        raise ValueError(f"no value for {', '.join(missing)}")
    if unknown := sorted(values.keys() - names):
        raise ValueError(f"the template knows no {', '.join(unknown)}")
    return _NAME.sub(lambda match: values[match[1]], body)


def main() -> int:
    """Run the command line; returns 2 where names and values do not match."""
    template, *pairs = sys.argv[1:] or [""]
    if not template or any("=" not in pair for pair in pairs):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        sys.stdout.write(fill(Path(template).read_text(), dict(pair.split("=", 1) for pair in pairs)))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
