"""A start with a database, and `outcrop migrate`."""

import json
import os
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.outcrop_process import PEPPER, invoke, outcrop, settings_of
from tests.disks import no_space
from tests.programs import running
from tests.servers import free_port

pytestmark = pytest.mark.slow


def set_revision(tmp_path: Path, revision: str) -> None:
    with closing(sqlite3.connect(tmp_path / "outcrop.db")) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", (revision,))


def test_migrate_sets_up_a_database_once(tmp_path: Path) -> None:
    first, second = outcrop(tmp_path, "migrate"), outcrop(tmp_path, "migrate")
    assert (first.returncode, first.stdout) == (0, "The schema was created.\n")
    assert (second.returncode, second.stdout) == (0, "The schema is up to date.\n")


def test_an_older_schema_ends_the_start(tmp_path: Path) -> None:
    outcrop(tmp_path, "migrate")
    set_revision(tmp_path, "0000")
    ended = outcrop(tmp_path, "serve")
    assert ended.returncode == 2
    assert "run `outcrop migrate`, or set MIGRATE_AT_START=true" in ended.stderr


def test_a_database_that_is_down_ends_the_start_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://outcrop:s3cret@127.0.0.1:9/outcrop"
    for command in ("serve", "migrate"):
        ended = outcrop(tmp_path, command, DATABASE_URL=url, DATA_DIR=str(tmp_path))
        assert ended.returncode == 2
        assert "DATABASE_URL: postgresql://127.0.0.1:9/outcrop cannot be used" in ended.stderr
        assert "s3cret" not in ended.stderr


def test_a_full_disk_under_data_dir_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", no_space)
    monkeypatch.setattr("app.cli.serve.configure_logging", lambda *_: None)  # it would stay so for all tests
    ended = invoke(tmp_path, "serve")
    assert ended.exit_code == 2
    assert re.search(rf"  - DATA_DIR: {tmp_path}/journal-\S+: No space left on device\n", ended.stderr)


def loaded_by(process: subprocess.Popen[str]) -> str:
    """Return the names of the libraries in a process's memory; empty where the system does not tell."""
    maps = Path(f"/proc/{process.pid}/maps")
    return maps.read_text() if maps.exists() else ""


def test_a_start_with_another_pepper_is_logged_as_an_error(tmp_path: Path) -> None:
    invoke(tmp_path, "import", "env", "--team", "t", "--secrets", str(tmp_path / "secrets"))
    port = free_port()
    for pepper, errors in ((PEPPER, 0), ("another-pepper-of-32-characters--", 1)):
        settings = {**settings_of(tmp_path), "KEY_PEPPER": pepper, "PORT": str(port)}
        with running("app", url=f"http://127.0.0.1:{port}/health", **settings) as process:
            # its 8 MB are for signatures
            assert "cryptography" not in loaded_by(process)
            process.terminate()
            _, log = process.communicate(timeout=30)
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        text = "KEY_PEPPER is not the one with which keys were made, and they are refused"
        assert [line["level"] for line in lines if line["message"] == text] == ["ERROR"] * errors


def test_migrate_without_a_database_says_so(tmp_path: Path) -> None:
    ended = outcrop(tmp_path, "migrate", DATABASE_URL="")
    assert (ended.returncode, "DATABASE_URL is not set" in ended.stderr) == (2, True)
