"""Serves one endpoint: authentication, admission, body, handler, response and errors.

An endpoint is an ASGI callable that RequestMiddleware calls directly. FastAPI does not see its requests:
docs/adr/0031-one-route-table.md.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import partial

from msgspec import Struct, field
from starlette.types import Receive, Scope, Send

from app.dialects.http.endpoint_spec import EndpointSpec
from app.dialects.http.hidden_identity import without_identity
from app.dialects.http.request_body import CallerGone, read_body, take_body
from app.dialects.http.response_sender import DisconnectGuard, EventConnection, ResponseSender
from app.dialects.http.responses import CompleteResponse
from app.errors import (
    AuthenticationFailed,
    CallerDeadline,
    GatewayError,
    InternalFailure,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    UpstreamTimeout,
)
from app.execution.request_context import RequestContext
from app.governance.address_permits import AddressPermits
from app.governance.admission import Admission, Permit
from app.governance.held_bytes import ByteLimit, HeldBytes
from app.governance.identity.authenticator import Authenticator, PendingClaim, SignedClaim
from app.governance.identity.caller import Caller
from app.governance.identity.failed_attempts import FailedAttempts, too_many_failures
from app.observability.observer import CALLER_GONE, RequestRecord
from app.process.deadline import Deadline, DeadlineTimer
from app.process.off_loop import off_loop
from app.server.asgi_extensions import CONNECTION, RESPOND, CallerConnection
from app.server.request_head import RequestHead, decoded

_log = logging.getLogger(__name__)

# the key of the request's record in the ASGI scope
RECORD = "outcrop.record"
# the key of the endpoint, and the path's parameters, of a request that is not found by its path
ENDPOINT = "outcrop.endpoint"
# the key of the caller of a request that the gateway makes itself, for a caller that it has identified
CALLER = "outcrop.caller"
# in this header a caller shortens the gateway's timeout, in seconds
TIMEOUT = "x-outcrop-timeout"
_ERROR_SECONDS = 5.0
STATUS_CALLER_GONE = 499  # nginx's status for a caller that disconnected; only logged


class IngressLimits(Struct, frozen=True):
    """Limits that apply before a handler runs.

    admission: parallel requests; unverified: those whose signature is not verified yet; unverified_of_each: those that
    claim one caller's name, if there are several callers.
    address_permits: unverified requests of one client address that claim one name.
    failed_attempts: authentications that fail, by address.
    bodies, unverified_bodies: bytes of bodies held at once; max_body_bytes: of one body.
    responses: bytes of large responses that are read or wait to be sent.
    caller_timeout: seconds for the body to arrive. total_timeout: seconds for the whole request.
    heartbeat: seconds of silence in a stream after which a comment is sent; 0 for never.
    note_gap: called with the seconds between two pieces of a stream.
    exposes_aws_identity: errors may name accounts, roles and ARNs of the gateway.
    default_models: the models that are called where the caller names none. timer: ends requests at their deadlines.
    """

    authenticator: Authenticator
    admission: Admission
    unverified: Admission
    unverified_of_each: Mapping[str, Admission]
    address_permits: AddressPermits
    failed_attempts: FailedAttempts
    bodies: ByteLimit
    unverified_bodies: ByteLimit
    responses: ByteLimit
    max_body_bytes: int
    caller_timeout: float
    total_timeout: float
    heartbeat: float = 0.0
    note_gap: Callable[[float], object] = float
    exposes_aws_identity: bool = False
    default_models: frozenset[str] = frozenset()
    timer: DeadlineTimer = field(default_factory=DeadlineTimer)


class Endpoint(Struct, frozen=True):
    """Serves one endpoint. route: the path's template, for logs. allowed: the methods of the path."""

    spec: EndpointSpec
    route: str
    allowed: tuple[str, ...]
    limits: IngressLimits

    async def handle(self, scope: Scope, receive: Receive, send: Send, head: RequestHead) -> None:
        """Handle one request to its end."""
        record: RequestRecord = scope[RECORD]
        spec, limits = self.spec, self.limits
        record.route, record.dialect = self.route, spec.dialect
        sender = ResponseSender(
            send,
            record,
            spec.render_by_head(head) if spec.render_by_head else spec.render_error,
            limits.heartbeat,
            limits.note_gap,
            scope.get(CONNECTION) or EventConnection(receive),
            scope.get(RESPOND),
            limit_headers=spec.limit_headers,
        )
        deadline = limits.timer.begin(limits.total_timeout)
        try:
            await self._serve(scope, receive, sender, head, deadline)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 -- a defect, too, is answered in the dialect
            failure = self._failure_of(error, sender, deadline)
        else:
            return
        finally:
            deadline.end()
        if failure is not None:
            if not limits.exposes_aws_identity:
                named = "" if record.model in limits.default_models else record.model
                failure = without_identity(failure, head.path, named)
            await _send_error(sender, failure)

    def _failure_of(self, error: BaseException, sender: ResponseSender, deadline: Deadline) -> GatewayError | None:
        """Return the error to send for what ended a request; None if the caller disconnected."""
        record = sender.record
        if sender.caller_has_gone and isinstance(error, asyncio.CancelledError):
            if deadline.task is not None:
                deadline.task.uncancel()
            error = CallerGone()
        match error:
            case CallerGone():
                record.error, record.status = CALLER_GONE, record.status or STATUS_CALLER_GONE
                return None
            case AuthenticationFailed():
                if wait := self.limits.failed_attempts.note(record.client):
                    return too_many_failures(wait, f"the last: {error.message}")
                return error.with_traceback(None)
            case GatewayError():
                _drop_tracebacks(error)
                return error
            case RecursionError():
                return InvalidRequest("the body is nested too deeply")
            case asyncio.CancelledError():
                if deadline.has_passed:
                    late = CallerDeadline if deadline.by == TIMEOUT else UpstreamTimeout
                    detail = deadline.by or "BEDROCK_TOTAL_TIMEOUT"
                    return late("the request took longer than its limit", detail=detail, is_final=True)
                # the server shuts down and does not await this task: if raised again, it would be logged as a crash
                return Overloaded("the gateway is shutting down", detail="SHUTDOWN_GRACE")
        _log.error("unexpected failure", extra={"fields": {"request_id": record.request_id}}, exc_info=error)
        return InternalFailure("an internal error occurred", detail=type(error).__name__)

    async def _serve(
        self, scope: Scope, receive: Receive, sender: ResponseSender, head: RequestHead, deadline: Deadline
    ) -> None:
        """Serve a request. Raises GatewayError, CallerGone."""
        if head.method != self.spec.method:
            allowed = ", ".join(self.allowed)
            raise MethodNotAllowed(f"this path takes {allowed}", headers={"allow": allowed})
        limits, record, connection = self.limits, sender.record, sender.connection
        claim = scope.get(CALLER) or limits.authenticator.authenticate(head, record.client, scope)
        if isinstance(claim, PendingClaim):
            claim = await self._resolve(claim, record.client)
        if timeout := head.headers.get(TIMEOUT):
            deadline.shorten(_parse_seconds(timeout), TIMEOUT)
        held = HeldBytes(limits.bodies, claim.name)
        body, caller = None, claim
        try:
            if isinstance(caller, SignedClaim):
                read = partial(self._read, head, connection, receive, held)
                body, caller = await self._verify(caller, read, held, record.client)
            record.caller = caller.name
            if caller.policy is not None:
                record.team, record.key_name = caller.policy.team_id, caller.policy.name
            sender.response_bytes = HeldBytes(limits.responses, caller.name)
            permit = Permit(limits.admission, caller.name)
            if not permit.take_if_free():
                await permit.wait()
            try:
                if body is None:
                    body = take_body(head, connection, limits.max_body_bytes, held)
                    if body is None:
                        body = await self._read(head, connection, receive, held)
                context = RequestContext(
                    head, scope["path_params"], body, caller, deadline, record, held, limits.max_body_bytes, len(body),
                    sender.response_bytes, begin_stream=sender.begin_stream,
                )  # fmt: skip
                del body
                connection.set_disconnect_callback(DisconnectGuard(sender, context, permit).cancel)
                response = await self.spec.handler(context)
                if isinstance(response, CompleteResponse):
                    await sender.send_complete(response)
                else:
                    await sender.send_stream(response)
            finally:
                connection.set_disconnect_callback(None)
                permit.release()
        finally:
            held.release()
            if sender.response_bytes is not None and sender.response_bytes.size:
                sender.response_bytes.release()

    async def _read(self, head: RequestHead, connection: CallerConnection, receive: Receive, held: HeldBytes) -> bytes:
        limits = self.limits
        return await read_body(head, connection, receive, limits.max_body_bytes, limits.caller_timeout, held)

    async def _verify(
        self, claim: SignedClaim, read: Callable[[], Awaitable[bytes]], held: HeldBytes, client: str
    ) -> tuple[bytes, Caller]:
        """Read the body, which a signature covers, and verify both; until then, separate limits hold."""
        limits = self.limits
        held.limits = limits.unverified_bodies
        of_one = limits.unverified_of_each.get(claim.name)
        by_name = of_one.permit() if of_one is not None else nullcontext()
        async with limits.address_permits.permit(client, claim.name), by_name, limits.unverified.permit():
            body = await read()
            turn = f"{claim.name} from {client}"  # a forged claim takes no turn of the caller
            caller = await off_loop(turn, len(body), partial(claim.verify, body))
        held.move(limits.bodies)
        return body, caller

    async def _resolve(self, claim: PendingClaim, client: str) -> Caller | SignedClaim:
        """Have a claim checked elsewhere. Raises GatewayError; an address whose claims fail too often must wait."""
        if not claim.is_proven and (wait := self.limits.failed_attempts.wait(client)):
            raise too_many_failures(wait, "the claim was not checked")
        return await claim.resolve()


def head_of(scope: Scope) -> RequestHead:
    """Return the head of the request of an ASGI scope."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return RequestHead(scope["method"], raw_path.decode("latin-1"), query.decode("latin-1"), decoded(scope["headers"]))


def _drop_tracebacks(error: BaseException) -> None:
    """Drop the frames that an error and its contexts refer to: they hold the body, and the error itself."""
    link: BaseException | None = error
    while link is not None:
        link = link.with_traceback(None).__context__


async def _send_error(sender: ResponseSender, error: GatewayError) -> None:
    """Send an error within some seconds: the caller may not read. If it cannot be sent, cut the connection."""
    try:
        async with asyncio.timeout(_ERROR_SECONDS):
            await sender.send_error(error)
    except TimeoutError:
        sender.connection.abort()
    else:
        if not sender.is_done:
            sender.connection.cut()


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise InvalidRequest(f"{TIMEOUT} must be a number of seconds", param=TIMEOUT)
    return seconds
