"""Carries out the operations of the admin API on the database, without a gateway."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import click
from msgspec import Struct
from pydantic import BaseModel, ValidationError

from app.admin.api.documents.reports import AuditQuery, LedgerQuery, SpendQuery, UsageQuery
from app.admin.api.documents.teams_and_keys import KeyChange, KeyCreate, Rotation, TeamChange, TeamCreate
from app.admin.api.documents.words import path_of, words_of
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.audit import list_audit
from app.admin.api.operations.failures import OperationRefused
from app.admin.api.operations.keys import (
    change_key,
    create_key,
    delete_key,
    get_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from app.admin.api.operations.ledger import list_ledger
from app.admin.api.operations.spend import spend_rows
from app.admin.api.operations.teams import change_team, create_team, delete_team, get_team, list_teams
from app.admin.api.operations.usage import usage_rows
from app.cli.administration.client import Document
from app.composition.database import open_database, prepare_database
from app.config.settings import Settings, SettingsError
from app.governance.identity.key_secrets import is_other_pepper
from app.storage.database import AsyncConnection, DatabaseDown
from app.storage.repository import newest_secret


class _Call(Struct, frozen=True):
    connection: AsyncConnection
    actor: Actor
    pepper: bytes
    identifier: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    revision: int | None

    def page(self) -> dict[str, Any]:
        """Return the query of a list of objects."""
        return {**self.query, "limit": int(self.query.get("limit", 50))}


_Operation = Callable[[_Call], Awaitable[BaseModel | None]]
_OPERATIONS: dict[str, _Operation] = {
    "GET teams": lambda call: list_teams(call.connection, **call.page()),
    "POST teams": lambda call: create_team(call.connection, call.actor, TeamCreate(**call.body)),
    "GET teams/ID": lambda call: get_team(call.connection, call.identifier),
    "PATCH teams/ID": lambda call: change_team(
        call.connection, call.actor, call.identifier, TeamChange(**call.body), revision=call.revision
    ),
    "DELETE teams/ID": lambda call: delete_team(call.connection, call.actor, call.identifier),
    "GET keys": lambda call: list_keys(call.connection, **call.page()),
    "POST keys": lambda call: create_key(call.connection, call.actor, KeyCreate(**call.body), call.pepper),
    "GET keys/ID": lambda call: get_key(call.connection, call.identifier),
    "PATCH keys/ID": lambda call: change_key(
        call.connection, call.actor, call.identifier, KeyChange(**call.body), revision=call.revision
    ),
    "DELETE keys/ID": lambda call: delete_key(call.connection, call.actor, call.identifier),
    "POST keys/ID/rotate": lambda call: rotate_key(
        call.connection, call.actor, call.identifier, call.pepper, Rotation(**call.body).grace_seconds
    ),
    "POST keys/ID/revoke": lambda call: revoke_key(call.connection, call.actor, call.identifier),
    "GET usage": lambda call: usage_rows(call.connection, UsageQuery.model_validate(call.page())),
    "GET spend": lambda call: spend_rows(call.connection, SpendQuery.model_validate(call.page())),
    "GET ledger": lambda call: list_ledger(call.connection, LedgerQuery.model_validate(call.page())),
    "GET audit": lambda call: list_audit(call.connection, AuditQuery.model_validate(call.page())),
}


_MAKE_SECRETS = ("POST keys", "POST keys/ID/rotate")
_OTHER_PEPPER = (
    "KEY_PEPPER is not the one with which keys were made, so that gateways would refuse the new secret: set the "
    "KEY_PEPPER of the gateways"
)


class DatabaseClient:
    """Carries out operations on the database of the settings. See `AdminClient`. It must be closed.

    Raises:
        SettingsError: the database cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._runner = asyncio.Runner()
        self._pepper = settings.pepper()
        self._actor = Actor(f"cli:{_user()}@{socket.gethostname()}")
        database = open_database(settings)
        if database is None:
            raise SettingsError(["DATABASE_URL is not set: set it, or name a gateway with --url"])
        self._database = database
        try:
            self._runner.run(prepare_database(database, migrate=False))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._runner.run(self._database.close())
        self._runner.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        revision: int | None = None,
    ) -> Document:
        """Carry out an operation. See `AdminClient.call`."""
        try:
            return self._runner.run(self._call(method, path, query or {}, body or {}, revision))
        except OperationRefused as error:
            raise click.ClickException(error.message) from None
        except ValidationError as error:
            raise click.ClickException(_faults(error)) from None
        except DatabaseDown as error:
            raise click.ClickException(str(error)) from None

    async def _call(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any], revision: int | None
    ) -> Document:
        kind, _, rest = path.partition("/")
        identifier, _, action = rest.partition("/")
        name = "/".join(filter(None, (f"{method} {kind}", identifier and "ID", action)))
        if name not in _OPERATIONS:
            raise click.ClickException(f"there is no {kind.removesuffix('s')} {rest!r}")
        async with self._database.begin(reads=method == "GET") as connection:
            if name in _MAKE_SECRETS and is_other_pepper(await newest_secret(connection), self._pepper):
                raise click.ClickException(_OTHER_PEPPER)
            call = _Call(connection, self._actor, self._pepper, identifier, query, body, revision)
            result = await _OPERATIONS[name](call)
        return {} if result is None else result.model_dump(mode="json", exclude_unset=name == "GET usage")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # no account has this number, as in a container
        return "unknown"


def _faults(error: ValidationError) -> str:
    return "\n".join(f"{path_of(each['loc'])}: {words_of(each)}" for each in error.errors())
