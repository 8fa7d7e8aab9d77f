"""Fills in a template of this directory.

    fill.py TEMPLATE NAME=VALUE ... > FILE

Names in a template are written @NAME@; the lines that begin with `#|` explain them and are not part of the result. Each
name needs a value, and each value a name.
"""

import re
import sys
from pathlib import Path

_NAME = re.compile(r"@([A-Z_]+)@")


def fill(template: str, values: dict[str, str]) -> str:
    """Replace the names in a template by their values.

    Raises:
        ValueError: a name has no value, or the template does not have the name of a value.
    """
    body = "".join(line for line in template.splitlines(keepends=True) if not line.startswith("#|"))
    names = set(_NAME.findall(body))
    if missing := sorted(names - values.keys()):
        raise ValueError(f"no value for {', '.join(missing)}")
    if unknown := sorted(values.keys() - names):
        raise ValueError(f"the template has no name {', '.join(unknown)}")
    return _NAME.sub(lambda match: values[match[1]], body)


def main() -> int:
    """Run the command line; return 2 if names and values do not match."""
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
