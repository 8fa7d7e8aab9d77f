"""Only `execution.attempt` writes what attempts determine into the log record of a request."""

import ast
from pathlib import Path

from app.observability.observer import RequestRecord

APP = Path(__file__).parents[2] / "app"
WRITTEN_BY_ATTEMPTS = {
    "target", "location", "mode", "surface", "upstream_request_id", "usage", "model_behind", "tier", "ignored",
    "adjusted", "tries", "has_moved", "quota",
}  # fmt: skip


def record_writes(source: str) -> set[str]:
    """Return the fields of a variable or an attribute called `record` that some code assigns or appends to."""
    written: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        changed = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)
        is_method = isinstance(node, ast.Attribute) and node.attr in ("append", "extend", "insert", "clear", "pop")
        field = node if changed else node.value if is_method and isinstance(node, ast.Attribute) else None
        if isinstance(field, ast.Attribute):
            owner = field.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if name == "record":
                written.add(field.attr)
    return written


def test_writes_are_found_in_every_form() -> None:
    assert record_writes("record.usage = 1") == {"usage"}
    assert record_writes("context.record.ignored += []") == {"ignored"}
    assert record_writes("a, self.record.tier = 1, 2") == {"tier"}
    assert record_writes("record.tries.append(1)") == {"tries"}
    assert record_writes("x = record.usage") == set()


def test_nothing_else_writes_the_results_of_attempts_into_a_record() -> None:
    assert set(RequestRecord.__struct_fields__) >= WRITTEN_BY_ATTEMPTS
    writers = {
        path.relative_to(APP).as_posix()
        for path in APP.rglob("*.py")
        if "emulator" not in path.parts and record_writes(path.read_text()) & WRITTEN_BY_ATTEMPTS
    }
    assert writers == {"execution/attempt.py"}
