"""Sends webhooks. A failed one is tried again for about 17 hours, by any replica."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, select, update

from app.bedrock.transport import HttpRequest, Transport
from app.errors import GatewayError
from app.governance.webhooks.signature import signed_headers
from app.storage.database import Database
from app.storage.records import now
from app.storage.tables import webhooks
from app.wire import json

_log = logging.getLogger(__name__)

_SEND_SECONDS = 10.0
# more than a batch takes to be sent
_RETRY_SECONDS = 30.0
_MAX_ATTEMPTS = 12
_BATCH = 10


class Receiver(Struct, frozen=True):
    """Where webhooks are sent. key: with which they are signed."""

    url: str
    key: bytes
    transport: Transport

    async def send(self, identifier: str, payload: Mapping[str, Any]) -> str:
        """Send a webhook once. Returns why it was not accepted, or an empty string. Redirects are not followed."""
        body = json.dumps(payload)
        headers = [("user-agent", "outcrop"), *signed_headers(self.key, identifier, int(time.time()), body)]
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                response = await self.transport.open(HttpRequest("POST", self.url, headers, body))
                status = response.status
                response.close()
        except TimeoutError:
            return "timeout"
        except GatewayError as error:
            return error.kind
        return "" if 200 <= status < 300 else f"status {status}"


async def deliver(database: Database, receiver: Receiver, moment: datetime | None = None) -> int:
    """Send the webhooks that are due, a batch at a time. Returns how many were accepted.

    Raises:
        DatabaseDown: the database cannot be reached. Webhooks that were sent may be sent again.
    """
    accepted = 0
    while rows := await _claim(database, moment or now()):
        reasons = await asyncio.gather(*[receiver.send(row.id, row.payload) for row in rows])
        for row, reason in zip(rows, reasons, strict=True):
            await _note(database, row, reason)
            accepted += not reason
        if len(rows) < _BATCH:
            break
    return accepted


async def _claim(database: Database, moment: datetime) -> list[Row[Any]]:
    """Return webhooks that are due. No other replica sends them before their next attempt is."""
    is_due = webhooks.c.next_attempt_at <= moment
    async with database.begin(reads=True) as connection:
        if (await connection.execute(select(webhooks.c.id).where(is_due).limit(1))).first() is None:
            return []
    async with database.begin() as connection:
        query = select(webhooks).where(is_due).order_by(webhooks.c.next_attempt_at).limit(_BATCH)
        rows = list(await connection.execute(query.with_for_update(skip_locked=True)))
        for row in rows:
            following = moment + timedelta(seconds=_RETRY_SECONDS * 2**row.attempts)
            changed = {"attempts": row.attempts + 1, "next_attempt_at": following}
            await connection.execute(update(webhooks).where(webhooks.c.id == row.id).values(changed))
    return rows


async def _note(database: Database, row: Row[Any], reason: str) -> None:
    fields = {"event": row.event, "webhook": row.id, "attempts": row.attempts + 1}
    if reason:
        _log.warning("a webhook was not accepted", extra={"fields": {**fields, "error": reason}})
    is_last = row.attempts + 1 >= _MAX_ATTEMPTS
    if reason and not is_last:
        return
    if reason:
        _log.error("a webhook is not sent any more", extra={"fields": fields})
    values = {"next_attempt_at": None, "delivered_at": None if reason else now()}
    async with database.begin() as connection:
        await connection.execute(update(webhooks).where(webhooks.c.id == row.id).values(values))
