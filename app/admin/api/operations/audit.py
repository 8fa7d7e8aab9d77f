"""The audit log: who changed what, when, from where, and how it was before."""

from __future__ import annotations

from pydantic import BaseModel
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.pages import Page
from app.admin.api.documents.reports import AuditEntry, AuditQuery
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.paging import page_of, read_cursor
from app.storage import tables
from app.storage.records import new_id, now


async def record_change(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    object_id: str,
    *,
    before: BaseModel | None = None,
    after: BaseModel | None = None,
) -> None:
    """Add an entry, in the transaction of the change.

    Args:
        action: such as `team.create`. before, after: what is shown of the object, which holds no secret.
    """
    row = {
        "id": new_id(),
        "at": now(),
        "actor": actor.name,
        "address": actor.address,
        "request_id": actor.request_id,
        "action": action,
        "object_id": object_id,
        "before": None if before is None else before.model_dump(mode="json"),
        "after": None if after is None else after.model_dump(mode="json"),
    }
    await connection.execute(insert(tables.audit).values(row))


async def list_audit(connection: AsyncConnection, wanted: AuditQuery) -> Page[AuditEntry]:
    """List changes, the newest first.

    Raises:
        Invalid: the cursor is of no page.
    """
    columns = tables.audit.c
    # ids sort by the time of their creation
    query = select(tables.audit).order_by(columns.id.desc()).limit(wanted.limit + 1)
    if wanted.cursor:
        query = query.where(columns.id < read_cursor(wanted.cursor, str)[0])
    if wanted.object_id:
        query = query.where(columns.object_id == wanted.object_id)
    if wanted.actor:
        query = query.where(columns.actor == wanted.actor)
    if wanted.action:
        is_action = columns.action == wanted.action
        query = query.where(is_action | columns.action.startswith(f"{wanted.action}.", autoescape=True))
    if wanted.since is not None:
        query = query.where(columns.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(columns.at < wanted.until)
    entries = [AuditEntry(**row._mapping) for row in await connection.execute(query)]
    data, cursor = page_of(entries, wanted.limit, lambda last: [last.id])
    return Page(data=[*data], next_cursor=cursor)
