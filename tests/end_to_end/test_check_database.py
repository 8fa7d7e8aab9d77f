"""The step of `outcrop check` that tries the database."""

import asyncio
import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.cli.check import run_check
from app.storage.schema import latest_revision
from tests.cli.outcrop_process import PEPPER, invoke
from tests.programs import aws

pytestmark = [pytest.mark.database, pytest.mark.loopback]


@pytest.fixture
def checked(tmp_path: Path, emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> "Checked":
    return Checked(tmp_path, emulator_url, monkeypatch)


class Checked:
    """Runs the check with a database in a folder."""

    def __init__(self, folder: Path, upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._upstream, self._monkeypatch = folder, upstream, monkeypatch
        self.path = folder / "outcrop.db"

    def __call__(self, **changes: str) -> tuple[int, str]:
        """Return the exit code, and the lines of the step."""
        database = {"DATABASE_URL": f"sqlite:///{self.path}", "KEY_PEPPER": PEPPER}
        for name, value in {**aws(self._upstream), **database, **changes}.items():
            self._monkeypatch.setenv(name, value)
        out = io.StringIO()
        code = asyncio.run(run_check(out))
        (found,) = [each for each in out.getvalue().replace("\n      ", "|").splitlines() if "  database  " in each]
        return code, found


def test_an_empty_database_stays_empty(checked: Checked) -> None:
    code, line = checked()
    assert (code, line[:4], f"sqlite:///{checked.path} is empty: the first start sets it up" in line) == (
        0,
        "ok  ",
        True,
    )
    with closing(sqlite3.connect(checked.path)) as connection:
        assert connection.execute("select count(*) from sqlite_master").fetchone() == (0,)


def test_a_database_in_use_is_reached(checked: Checked) -> None:
    invoke(checked.folder, "import", "env", "--team", "t", "--secrets", str(checked.folder / "secrets"))
    code, line = checked()
    assert (code, line[:4], f"schema {latest_revision()}; DATA_DIR has " in line) == (0, "ok  ", True)
    code, line = checked(KEY_PEPPER="another-pepper-of-32-characters--")
    assert (code, line[:4]) == (1, "FAIL")
    assert (
        "KEY_PEPPER is not the one with which keys were made|remedy: set the KEY_PEPPER of the other gateways" in line
    )


def test_an_old_schema_is_named_with_the_command(checked: Checked) -> None:
    invoke(checked.folder, "migrate")
    with closing(sqlite3.connect(checked.path)) as connection, connection:
        connection.execute("update alembic_version set version_num = '0000'")
    code, line = checked()
    assert (code, "run `outcrop migrate`" in line) == (1, True)


def test_a_database_that_is_down_is_named_without_its_password(checked: Checked) -> None:
    url = "postgresql://outcrop:s3cret@127.0.0.1:9/outcrop"
    code, line = checked(DATABASE_URL=url, DATA_DIR=str(checked.folder))
    assert code == 1
    assert "postgresql://127.0.0.1:9/outcrop cannot be used" in line
    assert "remedy: check DATABASE_URL" in line
    assert "s3cret" not in line


def test_a_full_disk_is_a_failure(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.checks.database._MIN_FREE_MEGABYTES", 10**9)
    code, line = checked()
    assert (code, "DATA_DIR has only " in line, "remedy: calls are refused" in line) == (1, True, True)
