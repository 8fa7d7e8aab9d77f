"""The replicas that admit requests now."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.statements import clock_us
from app.storage.tables import replicas


async def count_live_replicas(connection: AsyncConnection) -> int:
    """Return how many replicas have renewed their leases in time, by the clock of the database."""
    is_live = (replicas.c.state == "live", replicas.c.expires_at_us > clock_us(connection))
    return (await connection.execute(select(func.count()).select_from(replicas).where(*is_live))).scalar_one()
