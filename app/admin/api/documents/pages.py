"""Pages of lists."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, Field

from app.admin.api.documents.fields import CURSOR

Item = TypeVar("Item")

DEFAULT_LIMIT, MAX_LIMIT = 50, 500
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Entries of a page.")]
Cursor = Annotated[str, Field(max_length=4096, pattern=CURSOR, description="`next_cursor` of the page before.")]


class Page(BaseModel, Generic[Item]):
    """A part of a list. next_cursor: of the next part; null at the end."""

    data: list[Item]
    next_cursor: str | None = None
