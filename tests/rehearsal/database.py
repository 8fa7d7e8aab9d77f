"""A PostgreSQL that containers reach over TLS, as tasks reach RDS. Any token is accepted: only AWS can check one."""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from tests.bedrock.http1.certificates import Authority
from tests.databases import PostgresServer, running_postgres

USER = "outcrop_rehearsal"
NAME = "outcrop"


class TaskDatabase:
    """The database of the rehearsed environment.

    url: as the tasks use it. certificates: what verifies it, as PEM.
    """

    def __init__(self, server: PostgresServer, url: str, certificates: str) -> None:
        self._server = server
        self.url = url
        self.certificates = certificates

    async def set_up(self) -> None:
        """Create the database, and the user with the rights that docs/operate/database.md gives it."""
        connection = await asyncpg.connect(self._server.url())
        await connection.execute(f"create database {NAME}")
        await connection.execute(f"create role {USER} login")
        await connection.close()
        connection = await asyncpg.connect(self._server.url(NAME))
        await connection.execute(f"grant create on schema public to {USER}")
        await connection.close()

    async def fetch(self, query: str) -> str:
        """Return the value that a query returns."""
        connection = await asyncpg.connect(self._server.url(NAME))
        try:
            return str(await connection.fetchval(query))
        finally:
            await connection.close()


@contextlib.contextmanager
def running_database(address: str) -> Iterator[TaskDatabase]:
    """Run a database that serves over TLS at the address at which containers reach this machine."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    with running_postgres() as server, tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        front = server.over_tls(address, authority.context(address))
        port = asyncio.run_coroutine_threadsafe(front.__aenter__(), loop).result(10)
        try:
            yield TaskDatabase(server, f"postgresql://{USER}@{address}:{port}/{NAME}", authority.bundle.read_text())
        finally:
            asyncio.run_coroutine_threadsafe(front.__aexit__(None, None, None), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
