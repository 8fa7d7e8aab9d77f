"""Golden files: what the code made of a case once, read and approved by a person."""

import json
from pathlib import Path
from typing import Any


def write_golden(path: Path, value: Any) -> None:
    """Write a golden file."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
