"""Answers callers that ask for their own usage and limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from app.admin.api.documents.own import OwnLimits
from app.admin.api.documents.pages import Page
from app.admin.api.documents.reports import UsageQuery, UsageRow
from app.admin.api.documents.words import words_of
from app.admin.api.operations.failures import Invalid
from app.admin.api.operations.own import own_limits, own_usage
from app.admin.api.routes.transactions import Transactions
from app.errors import InvalidRequest, Overloaded
from app.governance.admission import Admission
from app.governance.identity.caller import Caller
from app.storage.database import AsyncConnection, DatabaseDown

_OF_OTHERS = ("team_id", "key_id")
# of callers at once: reports take long, and those of one caller must not keep administrators from the database
_MAX_READS, _MAX_WAITING, _WAIT_SECONDS = 2, 100, 5.0

Result = TypeVar("Result", bound=BaseModel)


class OwnAccount:
    """Reads the usage and the limits of callers. usage_type, limits_type: of the answers."""

    usage_type: object = Page[UsageRow]
    limits_type: object = OwnLimits

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        # administrators have the other connections, of which SQLite has two
        most = 1 if transactions.database.is_sqlite else _MAX_READS
        self._admission = Admission(most, _MAX_WAITING, _WAIT_SECONDS)

    async def usage(self, caller: Caller, query: Mapping[str, str]) -> bytes:
        """Return sums of a caller's usage as JSON.

        Raises:
            InvalidRequest: the query is invalid. Overloaded: the database cannot be reached.
            GatewayBusy: too many callers read.
        """
        for name in _OF_OTHERS:
            if name in query:
                raise InvalidRequest("callers see their own usage only: leave it out", param=name)
        try:
            wanted = UsageQuery.model_validate(query)
        except ValidationError as error:
            fault = error.errors()[0]
            raise InvalidRequest(words_of(fault), param=str(fault["loc"][0])) from None
        page = await self._read(caller, lambda connection: own_usage(connection, caller, wanted))
        return page.model_dump_json(exclude_unset=True).encode()

    async def limits(self, caller: Caller, query: Mapping[str, str]) -> bytes:
        """Return a caller's limits and budgets as JSON. Raises as `usage` does."""
        if unknown := query.keys() - {"user"}:
            raise InvalidRequest("is unknown here", param=min(unknown))
        user = query.get("user", "")
        limits = await self._read(caller, lambda connection: own_limits(connection, caller, user))
        return limits.model_dump_json().encode()

    async def _read(self, caller: Caller, operation: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        try:
            async with self._admission.permit(caller.name):
                return await self._transactions.report(operation)
        except Invalid as error:
            raise InvalidRequest(error.faults[0].message, param=error.faults[0].param) from None
        except DatabaseDown:
            raise Overloaded("usage and limits cannot be read now", detail="database") from None
