"""Builds the admin API of a deployment that has a database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from app.admin.lazy_routes import LazyRoutes
from app.composition.database import open_database
from app.config.settings import Settings
from app.dialects.http.endpoint import RECORD
from app.governance.identity.failed_attempts import FailedAttempts

if TYPE_CHECKING:
    from fastapi import APIRouter

    from app.admin.api.own_account import OwnAccount
    from app.admin.api.routes.transactions import Transactions
    from app.composition.quotas import BedrockQuotas
    from app.dialects.http.endpoint_spec import EndpointSpec
    from app.governance.identity.external_callers import ExternalCallers
    from app.storage.database import Database


_PREFIXES = ("/admin/v1", "/v1/organizations/spend_limits")


class Administration(Struct, frozen=True):
    """The admin API.

    routes: its endpoints. own: those for callers themselves. database: for administrators only, so that their reports
    take no connection from requests. close: closes its connections.
    """

    routes: LazyRoutes
    own: Sequence[EndpointSpec]
    database: Database
    close: Callable[[], Awaitable[None]]


def open_administration(
    settings: Settings,
    failed_attempts: FailedAttempts,
    external: ExternalCallers | None = None,
    quotas: BedrockQuotas | None = None,
) -> Administration | None:
    """Return the admin API, not connected yet; None without DATABASE_URL.

    Args:
        failed_attempts: counts wrong keys by address, with those of callers.
        external: verifies tokens of administrators. quotas: those that are shown.
    """
    # reports of administrators must not take connections from requests
    database = open_database(settings)
    if database is None:
        return None
    # only deployments with a database load it
    from app.dialects.shared_paths.own_account import own_account_endpoints
    from app.governance.identity.administrators import Administrators

    pepper = settings.pepper()
    administrators = Administrators(settings.administrators(), failed_attempts, external)

    def make_routers() -> Sequence[APIRouter]:
        # 6 MB, which only requests of administrators need
        from app.admin.api.routes.gate import Gate
        from app.admin.api.routes.reports import no_quotas
        from app.admin.api.routes.router import admin_router
        from app.admin.api.routes.spend_limits import render_for_anthropic, spend_limit_router

        transactions = _transactions(database, pepper)
        gate = Gate(administrators, lambda scope: scope[RECORD])
        return [
            admin_router(transactions, pepper, gate, no_quotas if quotas is None else quotas.describe),
            spend_limit_router(transactions, replace(gate, render=render_for_anthropic)),
        ]

    own = own_account_endpoints(_account_opener(database, pepper), _usage_type, _limits_type)
    return Administration(LazyRoutes(_PREFIXES, make_routers), own, database, database.close)


def _transactions(database: Database, pepper: bytes) -> Transactions:
    from app.admin.api.routes.idempotency import StoredAnswers
    from app.admin.api.routes.transactions import Transactions

    return Transactions(database, StoredAnswers(pepper))


def _account_opener(database: Database, pepper: bytes) -> Callable[[], Awaitable[OwnAccount]]:
    """Return what makes the account once, in a thread: its imports take some tenths of a second."""
    opened: list[OwnAccount] = []
    lock = asyncio.Lock()

    def make() -> OwnAccount:
        from app.admin.api.own_account import OwnAccount

        return OwnAccount(_transactions(database, pepper))

    async def open_account() -> OwnAccount:
        async with lock:
            if not opened:
                opened.append(await asyncio.to_thread(make))
        return opened[0]

    return open_account


def _usage_type() -> object:
    from app.admin.api.own_account import OwnAccount

    return OwnAccount.usage_type


def _limits_type() -> object:
    from app.admin.api.own_account import OwnAccount

    return OwnAccount.limits_type
