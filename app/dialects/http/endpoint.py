"""The door that every dialect's endpoint shares: a raw ASGI callable that stands in FastAPI's router.

It authenticates, reads the body once, runs the handler under the request's deadline, sends what the handler answers,
stops everything when the caller goes, and renders every error in its dialect. FastAPI only routes and documents:
its own dependency and response machinery costs too much CPU: docs/adr/0005-raw-asgi-endpoints.md.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

from fastapi.routing import APIRoute
from msgspec import Struct
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from app.dialects.http.request_body import CallerGone, read_body
from app.dialects.http.response_sender import DisconnectGuard, Sender
from app.dialects.http.responses import Answer, ErrorRenderer
from app.errors import (
    CallerDeadline,
    GatewayError,
    InternalFailure,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    UpstreamTimeout,
)
from app.execution.request_context import RequestContext
from app.governance.admission import Admission, Bodies, HeldBody
from app.governance.identity.authenticator import Authenticator, SignedClaim
from app.governance.identity.caller import Caller
from app.observability.observer import CALLER_GONE, RequestRecord
from app.process.deadline import Deadline
from app.process.off_loop import off_loop
from app.server.asgi_extensions import ABORT, ARRIVED, CUT, WRITE
from app.server.request_head import RequestHead, head_of

_log = logging.getLogger(__name__)

RECORD = "outcrop.record"
# with it a caller says how many seconds it will wait: less than the gateway would, never more
TIMEOUT = "x-outcrop-timeout"
_LAST_WORD_SECONDS = 5.0
STATUS_CALLER_GONE = 499  # nginx's number for a caller that did not wait; it is only logged

Handler = Callable[[RequestContext], Awaitable[Answer]]


class IngressLimits(Struct, frozen=True):
    """What every door needs to let a request in.

    authenticator: who may. admission: how many at once; unverified: and of those whose signature waits for their body;
    unverified_of_each: and of those who claim one name, where there are several.
    bodies, unverified_bodies: how many bytes of each at once, and max_body_bytes of one. caller_timeout: seconds in
    which a body must arrive. total_timeout: seconds for all of it. heartbeat: seconds of silence in a stream after
    which something is said; 0 for never. note_gap: is told of the seconds between two things that a stream says.
    """

    authenticator: Authenticator
    admission: Admission
    unverified: Admission
    unverified_of_each: Mapping[str, Admission]
    bodies: Bodies
    unverified_bodies: Bodies
    max_body_bytes: int
    caller_timeout: float
    total_timeout: float
    heartbeat: float = 0.0
    note_gap: Callable[[float], object] = float


# what each status of an error tells a caller, where a dialect has no words of its own for it
MEANINGS = {
    400: "The request cannot be carried out; `param` names the field.",
    401: "No key, or one that is not known.",
    403: "AWS refuses the gateway's identity.",
    404: "No such model.",
    405: "Another method is wanted.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    429: "Throttled, or the gateway is busy; `retry-after` says for how long, where that is known.",
    500: "A fault of the gateway, or Bedrock's InternalServerException.",
    502: "Bedrock could not be reached, or its answer made no sense.",
    503: "Bedrock has no capacity.",
    504: "Bedrock did not answer within the limits.",
}


def error_responses(model: type[BaseModel], meanings: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """How a dialect's routes document their errors: for each status its meaning, all in the same shape.

    Args:
        model: the shape of an error in the dialect.
        meanings: what each status tells the caller.
    """
    return {status: {"model": model, "description": meaning} for status, meaning in meanings.items()}


async def _undocumented() -> None:
    raise AssertionError


class Endpoint(APIRoute):
    """A route whose requests skip FastAPI and go to `handler`; its schemas stay in OpenAPI.

    Args:
        path: the path's template.
        documented: an endpoint that is never called: its signature and docstring are the documentation.
        dialect, handler, render_error, threshold: see `EndpointHandler`.
        render_by_head: for a path that several dialects share: chooses the renderer by the request's head.
        options: whatever `APIRoute` takes.
    """

    def __init__(
        self,
        path: str,
        documented: Callable[..., Any],
        *,
        dialect: str,
        handler: Handler,
        render_error: ErrorRenderer,
        ingress_limits: IngressLimits,
        render_by_head: Callable[[RequestHead], ErrorRenderer] | None = None,
        **options: Any,
    ) -> None:
        # only the OpenAPI page needs these schemas: docs/adr/0006-build-openapi-models-on-demand.md
        self.documented = partial(APIRoute, path, documented, **options)
        super().__init__(path, _undocumented, methods=options["methods"], response_model=None)
        # those of every route of this path, once `set_allowed_methods` knows them all
        self.allowed = self.methods or set()
        self._endpoint_handler = EndpointHandler(
            self.path_format, dialect, handler, render_error, ingress_limits, render_by_head
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, past FastAPI."""
        await self._endpoint_handler.enter(scope, receive, send, self.methods or set(), self.allowed)


class EndpointHandler(Struct, frozen=True):
    """One endpoint of a dialect, as an ASGI callable.

    route: the path's template, for logs. render_error: makes an answer of an error and the request's id.
    """

    route: str
    dialect: str
    handler: Handler
    render_error: ErrorRenderer
    ingress_limits: IngressLimits
    render_by_head: Callable[[RequestHead], ErrorRenderer] | None = None

    async def enter(self, scope: Scope, receive: Receive, send: Send, methods: set[str], allowed: set[str]) -> None:
        """Handle one request to its end.

        Args:
            methods: those of this endpoint. allowed: those of its path.
        """
        record: RequestRecord = scope[RECORD]
        record.route, record.dialect = self.route, self.dialect
        render_error = self.render_by_head(head_of(scope)) if self.render_by_head else self.render_error
        write = scope.get("extensions", {}).get(WRITE)
        sender = Sender(send, record, render_error, self.ingress_limits.heartbeat, self.ingress_limits.note_gap, write)
        limit = asyncio.timeout(self.ingress_limits.total_timeout)
        deadline = Deadline(limit.when() or 0.0, limit)
        failure: GatewayError | None = None
        try:
            if scope["method"] not in methods:
                others = ", ".join(sorted(allowed))
                raise MethodNotAllowed(f"this path takes {others}", headers={"allow": others})
            async with limit:
                await self._handle(scope, receive, sender, deadline)
        except CallerGone:
            record.error, record.status = CALLER_GONE, record.status or STATUS_CALLER_GONE
        except GatewayError as error:
            # its frames, and those of what led to it, hold the body until garbage is looked for: this one holds it
            failure = error.with_traceback(None)
            failure.__context__ = None
        except RecursionError:
            failure = InvalidRequest("the body is nested too deeply")
        except asyncio.CancelledError:
            # the server has done so, and nobody waits for this task: raised again, it would be logged as a crash
            failure = Overloaded("the gateway is shutting down", detail="SHUTDOWN_GRACE")
        except Exception as error:  # noqa: BLE001 -- a fault of ours must still be answered in the dialect
            if isinstance(error, TimeoutError) and limit.expired():
                late = CallerDeadline if deadline.by == TIMEOUT else UpstreamTimeout
                failure = late("the request took longer than its limit", detail=deadline.by or "BEDROCK_TOTAL_TIMEOUT")
                failure.is_final = True
            else:
                _log.exception("unexpected failure", extra={"fields": {"request_id": record.request_id}})
                failure = InternalFailure("an internal error occurred", detail=type(error).__name__)
        if failure is not None:
            await _tell(sender, failure, scope)

    async def _handle(self, scope: Scope, receive: Receive, sender: Sender, deadline: Deadline) -> None:
        head, ingress_limits, record = head_of(scope), self.ingress_limits, sender.record
        claim = ingress_limits.authenticator.authenticate(head)
        if wanted := head.headers.get(TIMEOUT):
            deadline.shorten(_seconds(wanted), TIMEOUT)
        is_proven = not isinstance(claim, SignedClaim)
        held = HeldBody(ingress_limits.bodies if is_proven else ingress_limits.unverified_bodies, claim.name)
        has_arrived = scope.get("extensions", {}).get(ARRIVED)

        async def read() -> bytes:
            timeout = math.inf if has_arrived is not None and has_arrived() else ingress_limits.caller_timeout
            return await read_body(head, receive, ingress_limits.max_body_bytes, timeout, held)

        def context(body: bytes, caller: Caller) -> RequestContext:
            return RequestContext(
                head, scope["path_params"], body, caller, deadline, record, held, ingress_limits.max_body_bytes
            )

        try:
            if isinstance(claim, SignedClaim):
                # who signs is known once the body is: until then such callers have places of their own
                async with ingress_limits.unverified_of_each.get(claim.name, nullcontext()), ingress_limits.unverified:
                    body = await read()
                    caller = await off_loop(len(body), partial(claim.verify, body))
                held.move(ingress_limits.bodies)
                record.caller = caller.name
                async with ingress_limits.admission:
                    await self._answer(context(body, caller), scope, receive, sender)
            else:
                record.caller = claim.name
                async with ingress_limits.admission:
                    await self._answer(context(await read(), claim), scope, receive, sender)
        finally:
            held.release()

    async def _answer(self, context: RequestContext, scope: Scope, receive: Receive, sender: Sender) -> None:
        async with DisconnectGuard(scope, receive, sender):
            await sender.send_answer(await self.handler(context))


async def _tell(sender: Sender, error: GatewayError, scope: Scope) -> None:
    """Send an error, for some seconds: who calls may not read. Where it cannot be told, the answer is cut off."""
    extensions = scope.get("extensions", {})
    try:
        async with asyncio.timeout(_LAST_WORD_SECONDS):
            await sender.send_error(error)
    except TimeoutError:
        end = extensions.get(ABORT)
    else:
        end = None if sender.is_done else extensions.get(CUT)
    if end is not None:
        end()


def _seconds(wanted: str) -> float:
    """The seconds in a caller's header."""
    try:
        seconds = float(wanted)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise InvalidRequest(f"{TIMEOUT} must be a number of seconds", param=TIMEOUT)
    return seconds
