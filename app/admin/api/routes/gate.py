"""What surrounds every request of the admin API: authentication, body, and errors in the API's own shape."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from msgspec import Struct
from starlette.exceptions import HTTPException

from app.admin.api.operations.actor import Actor
from app.admin.api.operations.failures import Fault, OperationRefused
from app.admin.api.routes.answers import Failure, failure_of, render_failure
from app.errors import GatewayError
from app.governance.identity.administrators import Administrators
from app.observability.observer import RequestRecord
from app.storage.database import DatabaseDown
from app.wire import json

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_000_000
_BODY_SECONDS = 10.0
_ACTOR = "outcrop.actor"

Renderer = Callable[[Failure, str], Response]


class Gate(Struct, frozen=True):
    """What a request passes before its route.

    record_of: finds the record of a request, from its ASGI scope. render: writes the answer of a failure.
    """

    administrators: Administrators
    record_of: Callable[[Any], RequestRecord]
    render: Renderer = render_failure

    def route_class(self) -> type[APIRoute]:
        """Return the class of FastAPI's routes behind the gate."""
        gate = self

        class GuardedRoute(APIRoute):
            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                inner = super().get_route_handler()

                async def handle(request: Request) -> Response:
                    return await gate.handle(request, inner)

                return handle

        return GuardedRoute

    async def handle(self, request: Request, inner: Callable[[Request], Awaitable[Response]]) -> Response:
        """Serve a request. FastAPI would read the body before it knows the caller, and however large it is."""
        record = self.record_of(request.scope)
        try:
            administrator = await self.administrators.authenticate(request.headers, record.client)
            record.caller = administrator.name
            request.scope[_ACTOR] = Actor(administrator.name, record.client, record.request_id)
            _check_query(request)
            checked = _CheckedRequest(request.scope, request.receive)
            await checked.read()
            return await inner(checked)
        except Failure as error:
            failure = error
        except (OperationRefused, GatewayError, RequestValidationError) as error:
            failure = failure_of(error)
        except HTTPException as error:
            failure = Failure(error.status_code, "invalid_request", "the body is not JSON")
        except DatabaseDown as error:
            _log.warning("the admin API cannot reach the database: %s", error)
            failure = Failure(
                503, "database_unavailable", "the database cannot be reached", headers={"retry-after": "1"}
            )
        except Exception as error:  # noqa: BLE001 -- a defect must still be answered in the API's shape
            _log.exception("unexpected failure", extra={"fields": {"request_id": record.request_id}})
            record.detail = type(error).__name__
            failure = Failure(500, "internal", "an internal error occurred")
        record.error = failure.kind
        return self.render(failure, record.request_id)


def _check_query(request: Request) -> None:
    """Raise Failure for a parameter that is given twice: only one of them would count."""
    names = [name for name, _ in request.query_params.multi_items() if not name.endswith("[]")]
    for name in names:
        if names.count(name) > 1:
            raise Failure(422, "invalid_request", f"{name}: is given twice", [Fault(name, "is given twice")])


def actor_of(request: Request) -> Actor:
    """Return the administrator who sent a request."""
    actor: Actor = request.scope[_ACTOR]
    return actor


class _CheckedRequest(Request):
    """A request whose body is read before FastAPI asks for it."""

    async def read(self) -> None:
        """Read the body. Raises Failure: it is too large, too slow, or no JSON, or has a member twice."""
        content_type = self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for part in self.stream():
                    size += len(part)
                    if size > MAX_BODY_BYTES:
                        raise Failure(413, "body_too_large", f"the body has more than {MAX_BODY_BYTES} bytes")
                    parts.append(part)
        except TimeoutError:
            raise Failure(408, "timeout", f"the body did not arrive within {_BODY_SECONDS:g} seconds") from None
        if size and content_type != "application/json":
            raise Failure(415, "unsupported_media_type", "send the body as content-type: application/json")
        self._body = b"".join(parts)
        try:
            json.loads_strictly(self._body or b"{}")
        except json.JsonError as error:
            # what is no JSON is refused by FastAPI
            if error.path:
                faults = [Fault(error.path, "is given twice")]
                raise Failure(422, "invalid_request", f"{error.path}: is given twice", faults) from None
