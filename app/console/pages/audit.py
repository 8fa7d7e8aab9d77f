"""The audit log: who changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from starlette.responses import Response

from app.admin.api.documents.reports import AuditEntry, AuditQuery
from app.admin.api.operations.audit import list_audit
from app.console.database import read
from app.console.figures import NOTHING
from app.console.page_spec import PageSpec
from app.console.rule_fields import query_of
from app.console.visit import Visit

if TYPE_CHECKING:
    from app.storage.database import AsyncConnection

TITLE = "Audit"
_PER_PAGE = 50
# what changes with every change
_BORING = frozenset({"revision", "updated_at"})


class _Shown(Struct, frozen=True):
    """An entry, with the members that differ: name, before, after."""

    entry: AuditEntry
    changes: list[tuple[str, str, str]]


async def show_audit(visit: Visit) -> Response:
    """List changes, the newest first."""
    names = ("action", "actor", "object_id", "cursor")
    filters = {name: visit.query(name) for name in names}
    query = query_of(AuditQuery, {**filters, "limit": _PER_PAGE})

    async def operation(connection: AsyncConnection) -> dict[str, Any]:
        page = await list_audit(connection, query)
        return {"entries": [_Shown(entry, _changes(entry)) for entry in page.data], "next_cursor": page.next_cursor}

    return visit.page("audit.html", TITLE, filters=filters, **await read(visit, operation))


def _changes(entry: AuditEntry) -> list[tuple[str, str, str]]:
    before, after = entry.before or {}, entry.after or {}
    names = [name for name in {**before, **after} if name not in _BORING]
    differing = [name for name in names if before.get(name) != after.get(name)]
    return [(name, _text(before.get(name)), _text(after.get(name))) for name in differing]


def _text(value: object) -> str:
    if value in (None, "", [], {}):
        return NOTHING
    if isinstance(value, dict):
        return (
            ", ".join(f"{name}: {_text(each)}" for name, each in value.items() if each not in (None, "", [], {}))
            or NOTHING
        )
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return str(value)


PAGES = (PageSpec("GET", "/audit", show_audit, TITLE),)
