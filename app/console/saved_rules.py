"""Saves the form of a key or a team: its limits, budget and models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from starlette.responses import Response

from app.admin.api.documents.teams_and_keys import KeyChange, KeyView, TeamChange, TeamView
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.failures import Invalid, OperationRefused
from app.console.database import change
from app.console.parts import PREFIX
from app.console.rule_fields import FormFault, changed_rules, document_of, fault_of, revision_of
from app.console.visit import Form, Visit

if TYPE_CHECKING:
    from app.storage.database import AsyncConnection

Change = TypeVar("Change", KeyChange, TeamChange)


async def save_rules(
    visit: Visit,
    kind: type[Change],
    get: Callable[[AsyncConnection, str], Awaitable[KeyView | TeamView]],
    apply: Callable[..., Awaitable[object]],
    show: Callable[[Visit, str, Form], Awaitable[Response]],
) -> Response:
    """Apply a form to the key or team that the path names, and show its page. One that is out of date is refused.

    Args:
        kind: of the change. get, apply: the operations.
        show: shows the page with what is wrong, and with the form if it may be sent again.
    """
    form, identifier = await visit.form(), visit.request.path_params["id"]

    async def operation(connection: AsyncConnection, actor: Actor) -> None:
        before = await get(connection, identifier)
        body = document_of(kind, changed_rules(form, before.limits.shadow))
        await apply(connection, actor, identifier, body, revision=revision_of(form))

    try:
        await change(visit, operation)
    except FormFault as fault:
        return await show(visit, str(fault), form)
    except OperationRefused as error:
        return await show(visit, fault_of(error), form if isinstance(error, Invalid) else {})
    return visit.redirect(visit.request.url.path.removeprefix(PREFIX))
