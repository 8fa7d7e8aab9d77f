"""Describes a page: its path, who may see it, and the function that answers."""

from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct
from starlette.responses import Response

from app.console.visit import Visit

Access = Literal["anyone", "signed_in", "admin"]
View = Callable[[Visit], Awaitable[Response]]


class PageSpec(Struct, frozen=True):
    """One page, or the target of one form.

    title: of the page, which is shown with its errors.
    access: who may see it. Where there are no administrators, callers see the pages of administrators, too.
    """

    method: Literal["GET", "POST"]
    path: str
    view: View
    title: str
    access: Access = "admin"
