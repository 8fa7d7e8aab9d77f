"""The sessions of the console that were signed out before they expired."""

from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.records import now
from app.storage.tables import ended_sessions


async def end_session(connection: AsyncConnection, identifier: str, expires_at: datetime) -> None:
    """Refuse a session until it would have expired, and forget those that have."""
    await connection.execute(delete(ended_sessions).where(ended_sessions.c.expires_at < now()))
    is_known = await has_ended(connection, identifier)
    if not is_known:
        await connection.execute(insert(ended_sessions).values(id=identifier, expires_at=expires_at))


async def has_ended(connection: AsyncConnection, identifier: str) -> bool:
    """Return whether a session was signed out."""
    query = select(ended_sessions.c.id).where(ended_sessions.c.id == identifier)
    return (await connection.execute(query)).first() is not None
