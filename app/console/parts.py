"""Where the console is, and what it needs of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from app.composition.gateway import Gateway
from app.config.settings import Settings
from app.dialects.http.route_table import RouteTable
from app.observability.observer import Observer

if TYPE_CHECKING:
    from app.storage.database import Database

PREFIX = "/console"


class ConsoleParts(Struct, frozen=True):
    """What the console needs of the gateway.

    observers: of requests; the console adds its own when it is loaded.
    database: the one for administrators.
    """

    settings: Settings
    gateway: Gateway
    route_table: RouteTable
    observers: list[Observer]
    database: Database | None = None
