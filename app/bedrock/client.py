"""The client of Bedrock: it puts endpoint, identity, signature, transport and retry together, and adds nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from msgspec import Struct, field

from app.bedrock.credentials import CredentialsProvider, Identity
from app.bedrock.endpoints import Endpoint, Service
from app.bedrock.errors import error_of_reply
from app.bedrock.retry import RetryPolicy
from app.bedrock.signing import MANTLE, SIGNING_NAME, Signer, SigningTarget
from app.bedrock.transport import NO_WAITS, Headers, HttpRequest, HttpResponse, Transport, Waits
from app.errors import ConnectTimeout, GatewayError, IdentityRefused, UpstreamUnreachable
from app.observability.observer import Attempt
from app.process.deadline import Deadline
from app.process.off_loop import MAX_LOOP_BYTES, off_loop

T = TypeVar("T")

_MAX_ERROR_BYTES = 1024 * 1024


class BedrockRequest(Struct, frozen=True):
    """A request to Bedrock before it has a host and a signature.

    path, query: as they travel, percent-encoded; headers: names in lower case.
    """

    service: Service
    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class AttemptListener(Protocol):
    """Hears of each attempt: a record of the request keeps them."""

    upstream_request_id: str

    def begin_attempt(self, host: str) -> Attempt:
        """An attempt begins, at a host."""
        ...

    def end_attempt(self, attempt: Attempt, error: str = "") -> None:
        """It has ended, with what kind of error, if with one."""
        ...


class Reachability(Struct):
    """Why the last attempt of any request had no connection to Bedrock; empty where it had one."""

    problem: str = "not contacted yet"


class BedrockClient(Struct):
    """Asks Bedrock."""

    endpoints: dict[Service, Endpoint]
    credentials: CredentialsProvider
    signer: Signer
    transport: Transport
    retry: RetryPolicy
    reachability: Reachability = field(default_factory=Reachability)

    async def run(
        self,
        request: BedrockRequest,
        deadline: Deadline,
        listener: AttemptListener,
        take: Callable[[HttpResponse], Awaitable[T]],
    ) -> T:
        """Send the request, again where that is worth it, and return what `take` makes of a successful answer.

        For the control plane: the attempts of a call are `routing/failover`'s, each by `attempt`.

        `take` is part of the attempt: what fails in it is tried again, so it reads as far as nothing has reached the
        caller yet. It owns the answer once it has returned; when it raises, the answer is closed here.

        Raises:
            GatewayError: the outcome of the last attempt, with Bedrock's own answer in `upstream` where there was one.
        """
        async for attempt in self.retry.retrying(deadline):
            with attempt:
                return await self.attempt(request, listener, take)
        raise AssertionError("a retry loop ends by returning or raising")

    async def attempt(
        self,
        request: BedrockRequest,
        listener: AttemptListener,
        take: Callable[[HttpResponse], Awaitable[T]],
        waits: Waits = NO_WAITS,
    ) -> T:
        """Send the request once. Arguments, result and errors are those of `run`."""
        attempt = listener.begin_attempt(self.endpoints[request.service].host)
        try:
            taken = await self._attempt(request, attempt.headers, listener, take, waits)
        except asyncio.CancelledError:  # the caller has gone, or its time is up
            listener.end_attempt(attempt, "cancelled")
            raise
        except BaseException as error:
            listener.end_attempt(attempt, error.kind if isinstance(error, GatewayError) else type(error).__name__)
            raise
        listener.end_attempt(attempt)
        return taken

    async def _attempt(
        self,
        request: BedrockRequest,
        trace: Headers,
        listener: AttemptListener,
        take: Callable[[HttpResponse], Awaitable[T]],
        waits: Waits,
    ) -> T:
        listener.upstream_request_id = ""
        identity = self.credentials.identity or await self.credentials.get()
        prepare = partial(self._prepare, request, identity, trace, waits)
        size = len(request.body)
        try:
            prepared = prepare() if size <= MAX_LOOP_BYTES else await off_loop(size, prepare)
            response = await self.transport.open(prepared)
            request_id = listener.upstream_request_id = dict(response.headers).get("x-amzn-requestid", "")
            try:
                if response.status >= 300:
                    raise error_of_reply(response.status, response.headers, await _read_error_body(response))
                taken = await take(response)
            except BaseException as error:
                response.close()
                if isinstance(error, GatewayError):
                    error.upstream_request_id = request_id
                raise
        except IdentityRefused:
            await self.credentials.renew(identity)
            raise
        except (UpstreamUnreachable, ConnectTimeout) as error:
            self._note_reachability(request.service, error.message)
            raise
        except GatewayError:
            self._note_reachability(request.service, "")
            raise
        self._note_reachability(request.service, "")
        return taken

    def _note_reachability(self, service: Service, problem: str) -> None:
        """Only the runtime counts: requests do not need the control plane, whose network path may differ."""
        if service == "bedrock-runtime":
            self.reachability.problem = problem

    def _prepare(self, request: BedrockRequest, identity: Identity, trace: Headers, waits: Waits) -> HttpRequest:
        endpoint = self.endpoints[request.service]
        path = endpoint.path + request.path
        target = SigningTarget(
            request.method,
            endpoint.host,
            path,
            request.query,
            request.headers,
            MANTLE if request.service == MANTLE else SIGNING_NAME,
        )
        headers = self.signer.sign(identity, target, request.body)
        headers += trace  # not signed: proxies on the way may change them
        url = f"{endpoint.origin}{path}?{request.query}" if request.query else endpoint.origin + path
        return HttpRequest(request.method, url, headers, request.body, waits)


async def _read_error_body(response: HttpResponse) -> bytes:
    """The body of a refusal; where it breaks off, or is too large, its status still says enough."""
    try:
        return await response.read(_MAX_ERROR_BYTES)
    except GatewayError:
        return b""
