"""The replicas that admit requests now."""

import time
from datetime import UTC, datetime

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.tables import replicas


class LiveReplica(Struct, frozen=True):
    """One process that admits requests."""

    id: str
    host: str
    version: str
    started_at: datetime


async def live_replicas(connection: AsyncConnection) -> list[LiveReplica]:
    """Return the replicas that have renewed their leases in time, the oldest first."""
    query = select(replicas).where(replicas.c.state == "live", replicas.c.expires_at_us > time.time_ns() // 1000)
    rows = await connection.execute(query.order_by(replicas.c.started_at_us))
    return [
        LiveReplica(row.id, row.host, row.version, datetime.fromtimestamp(row.started_at_us / 1e6, UTC)) for row in rows
    ]
