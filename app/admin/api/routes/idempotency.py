"""Stores the answers of changes by `Idempotency-Key`, so that a request that is sent again changes nothing again."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.admin.api.operations.actor import Actor
from app.admin.api.routes.answers import Failure
from app.governance.identity.key_secrets import SigningCipher
from app.storage.database import Database
from app.storage.records import now
from app.storage.tables import idempotency_keys

_LIFETIME = timedelta(hours=24)
_MAX_FORGOTTEN = 100
REPLAYED = "idempotency-replayed"


class StoredAnswers:
    """Answers by administrator and `Idempotency-Key`, for a day. They may show secrets, so they are encrypted.

    Args:
        pepper: KEY_PEPPER.
    """

    def __init__(self, pepper: bytes) -> None:
        self._cipher = SigningCipher(pepper)

    async def once(
        self,
        database: Database,
        actor: Actor,
        request: Request,
        change: Callable[[AsyncConnection], Awaitable[Response]],
    ) -> Response:
        """Run a change and store its answer in the same transaction; or return the answer that is stored.

        Raises:
            Failure: the key was used for another request, or the stored answer cannot be read.
        """
        key = request.headers["idempotency-key"]
        wanted = _hash_of(request, await request.body())
        while True:
            try:
                async with database.begin() as connection:
                    await _forget_old(connection)
                    stored = await self._stored(connection, actor, key, wanted)
                    if stored is not None:
                        return stored
                    # first, so that the same request at the same time waits here
                    await _reserve(connection, actor, key, wanted)
                    answer = await change(connection)
                    await self._store(connection, actor, key, answer)
                    return answer
            except _Reserved:
                continue

    async def _stored(self, connection: AsyncConnection, actor: Actor, key: str, wanted: bytes) -> Response | None:
        row = (await connection.execute(select(idempotency_keys).where(_is(actor, key)))).first()
        if row is None:
            return None
        if row.request_hash != wanted:
            raise Failure(422, "idempotency_key_reused", "the Idempotency-Key was used for another request")
        text = self._cipher.decrypt(_context(actor, key), row.answer)
        if text is None:
            raise Failure(409, "conflict", "the request was carried out, and its stored answer cannot be read any more")
        etag, _, body = text.partition("\n")
        headers = {"cache-control": "no-store", REPLAYED: "true"} | ({"etag": etag} if etag else {})
        return Response(body or None, row.status, headers, "application/json" if body else None)

    async def _store(self, connection: AsyncConnection, actor: Actor, key: str, answer: Response) -> None:
        text = f"{answer.headers.get('etag', '')}\n{bytes(answer.body).decode()}"
        values = {"status": answer.status_code, "answer": self._cipher.encrypt(_context(actor, key), text)}
        await connection.execute(update(idempotency_keys).where(_is(actor, key)).values(values))


class _Reserved(Exception):
    """The same request was carried out at the same time."""


async def _reserve(connection: AsyncConnection, actor: Actor, key: str, wanted: bytes) -> None:
    row = {"actor": actor.name, "key": key, "request_hash": wanted, "status": 0, "answer": b"", "created_at": now()}
    try:
        await connection.execute(insert(idempotency_keys).values(row))
    except IntegrityError:
        raise _Reserved from None


async def _forget_old(connection: AsyncConnection) -> None:
    """Delete answers that are too old, without waiting for others that do the same."""
    identity = idempotency_keys.c.actor, idempotency_keys.c.key
    old = select(*identity).where(idempotency_keys.c.created_at < now() - _LIFETIME).limit(_MAX_FORGOTTEN)
    found = (await connection.execute(old.with_for_update(skip_locked=True))).all()
    if found:
        await connection.execute(delete(idempotency_keys).where(tuple_(*identity).in_([tuple(row) for row in found])))


def _is(actor: Actor, key: str) -> ColumnElement[bool]:
    return (idempotency_keys.c.actor == actor.name) & (idempotency_keys.c.key == key)


def _context(actor: Actor, key: str) -> str:
    return f"{actor.name}\n{key}"


def _hash_of(request: Request, body: bytes) -> bytes:
    head = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(head.encode() + body).digest()
