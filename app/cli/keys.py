"""`outcrop keys`: lists, shows, creates, changes, rotates, revokes and deletes keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import click

from app.cli.administration.client import AdminClient, Document, find_team, list_all
from app.cli.administration.connection import asks_administration
from app.cli.administration.members import body_of, member_options
from app.cli.administration.output import json_option, new_secret_file, write_list, write_one
from app.cli.moments import MomentOrNone

# none given, a time, or that there is no end
_End = datetime | Literal["none"] | None
_COLUMNS = ("id", "name", "team_id", "person", "status", "expires_at", "limits")
_SECRET = click.option(
    "--secret-file", type=click.Path(), help="Write the secret into a new file that only you can read."
)
_EXPIRES = click.option("--expires", "expires_at", type=MomentOrNone(), help="When the key ends; `none` for never.")


@click.group("keys")
def command() -> None:
    """List, show, create, change, rotate, revoke and delete keys. KEY is an id."""


@command.command("list")
@click.option("--team", help="Only those of a team, by its id or name.")
@click.option("--person", "holder", help="Only those of a person.")
@click.option("--search", default="", help="Only those whose names have this part.")
@json_option
@asks_administration
def list_keys(client: AdminClient, team: str | None, holder: str | None, search: str, is_json: bool) -> None:
    """List keys, without secrets."""
    query = {"team_id": find_team(client, team)} if team else {}
    query |= {name: value for name, value in (("person", holder), ("search", search)) if value}
    write_list(list_all(client, "keys", query), _COLUMNS, is_json=is_json)


@command.command("show")
@click.argument("key")
@json_option
@asks_administration
def show(client: AdminClient, key: str, is_json: bool) -> None:
    """Show a key, without its secret."""
    write_one(client.call("GET", f"keys/{key}"), is_json=is_json)


@command.command("create")
@click.argument("name")
@click.option("--team", required=True, help="The team, by its id or name.")
@click.option("--person", help="Who of the team holds it.")
@_EXPIRES
@_SECRET
@member_options
@json_option
@asks_administration
def create(
    client: AdminClient, team: str, expires_at: _End, secret_file: str | None, is_json: bool, **options: Any
) -> None:
    """Create a key. Its secret is shown once."""
    body = body_of({**options, "team_id": find_team(client, team), "expires_at": _text(expires_at)})
    _make_secret(client, "keys", body, secret_file, is_json=is_json)


@command.command("change")
@click.argument("key")
@click.option("--name", help="Another name.")
@click.option("--person", help="Who of the team holds it.")
@_EXPIRES
@member_options
@json_option
@asks_administration
def change(client: AdminClient, key: str, expires_at: _End, is_json: bool, **options: Any) -> None:
    """Change members of a key. Others stay as they are."""
    before = client.call("GET", f"keys/{key}")
    body = body_of({**options, "expires_at": _text(expires_at)}, before)
    write_one(client.call("PATCH", f"keys/{key}", body=body, revision=before["revision"]), is_json=is_json)


@command.command("rotate")
@click.argument("key")
@click.option("--grace", "seconds", type=int, default=0, help="Seconds for which the former secret stays valid.")
@_SECRET
@json_option
@asks_administration
def rotate(client: AdminClient, key: str, seconds: int, secret_file: str | None, is_json: bool) -> None:
    """Give a key a new secret, which is shown once."""
    _make_secret(client, f"keys/{key}/rotate", {"grace_seconds": seconds}, secret_file, is_json=is_json)


@command.command("revoke")
@click.argument("key")
@json_option
@asks_administration
def revoke(client: AdminClient, key: str, is_json: bool) -> None:
    """End a key for good. Every gateway refuses it within two seconds."""
    write_one(client.call("POST", f"keys/{key}/revoke"), is_json=is_json)


@command.command("delete")
@click.argument("key")
@asks_administration
def delete(client: AdminClient, key: str) -> None:
    """Delete a key. Its usage and its entries in the ledger stay."""
    client.call("DELETE", f"keys/{key}")


def _make_secret(client: AdminClient, path: str, body: Document, secret_file: str | None, *, is_json: bool) -> None:
    """Carry out a request whose answer has a secret, and write it."""
    if secret_file is None:
        write_one(client.call("POST", path, body=body), is_json=is_json)
        return
    # before the request, since the secret is shown once
    with new_secret_file(secret_file) as write:
        created = client.call("POST", path, body=body)
        write(created.pop("secret"))
    write_one(created, is_json=is_json)


def _text(end: _End) -> str | None:
    return end.isoformat() if isinstance(end, datetime) else end
