"""How many requests all replicas served, how many of them failed, and how many a limit refused."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.tables import request_counts


class RequestCount(Struct, frozen=True):
    """What began in one interval. errors, throttles: of the requests."""

    start: datetime
    requests: int
    errors: int
    throttles: int


async def counts_over_time(
    connection: AsyncConnection, since: datetime, interval: Literal["minute", "hour", "day"]
) -> Sequence[RequestCount]:
    """Return the counts of each interval since a time in which there were any."""
    columns = [request_counts.c[name] for name in RequestCount.__struct_fields__]
    query = select(*columns).where(request_counts.c.interval == interval, request_counts.c.start >= since)
    rows = await connection.execute(query.order_by(request_counts.c.start))
    return [RequestCount(*row) for row in rows]
