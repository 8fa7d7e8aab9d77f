"""The groups in which run_tests.sh runs the tests."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
FOLDERS = ("governance/", "storage/", "admin/")


def test_files_that_need_a_database_are_in_its_group() -> None:
    needing = [
        path for path in TESTS.rglob("test_*.py") if re.search(r"^from tests\.databases ", path.read_text(), re.M)
    ]
    assert needing
    assert [
        path.name
        for path in needing
        if not path.relative_to(TESTS).as_posix().startswith(FOLDERS) and "mark.database" not in path.read_text()
    ] == []
