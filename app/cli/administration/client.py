"""What a command asks of the admin API, or of its operations on the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import click

Document = dict[str, Any]
_PAGE = 500
_ID_LENGTH = 26


class AdminClient(Protocol):
    """Carries out requests of the admin API."""

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        revision: int | None = None,
    ) -> Document:
        """Carry out a request.

        Args:
            path: below `/admin/v1/`, such as `teams/ID`. revision: the only one that is changed; None for any.

        Raises:
            click.ClickException: it was refused, or failed.
        """
        ...


def list_all(
    client: AdminClient, path: str, query: Mapping[str, str] | None = None, *, limit: int | None = None
) -> Iterator[Document]:
    """Yield the entries of all pages of a list. limit: the most entries."""
    left = limit
    cursor = ""
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        page = client.call("GET", path, query={**(query or {}), "limit": str(size), **_set(cursor=cursor)})
        yield from page["data"]
        cursor = page["next_cursor"]
        if not cursor:
            return
        if left is not None:
            left -= len(page["data"])


def find_team(client: AdminClient, text: str) -> str:
    """Return the id of a team by its id or its name. Raises click.ClickException: there is none."""
    may_be_id = len(text) == _ID_LENGTH
    if may_be_id:
        # the name of one team may be the id of another
        with contextlib.suppress(click.ClickException):
            return str(client.call("GET", f"teams/{text}")["id"])
    found = client.call("GET", "teams", query={"name": text})["data"]
    if found:
        return str(found[0]["id"])
    if may_be_id:
        # of a team that was deleted
        return text
    raise click.ClickException(f"there is no team {text!r}")


def _set(**members: str) -> dict[str, str]:
    return {name: value for name, value in members.items() if value}
