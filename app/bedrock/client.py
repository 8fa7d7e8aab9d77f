"""The client of Bedrock: signs a request, sends it, and maps error responses."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from msgspec import Struct, field

from app.bedrock.credentials import CredentialsProvider, Identity
from app.bedrock.endpoints import Service, ServiceEndpoint
from app.bedrock.errors import error_of_reply
from app.bedrock.retry import RetryPolicy
from app.bedrock.signing import OWN_NAMES, SIGNING_NAME, Signer, SigningTarget
from app.bedrock.transport import DEFAULT_TIMEOUTS, Headers, HttpRequest, HttpResponse, Timeouts, Transport
from app.errors import ConnectTimeout, GatewayError, IdentityRefused, UpstreamUnreachable
from app.observability.observer import AttemptContext
from app.process.deadline import Deadline
from app.process.off_loop import MAX_LOOP_BYTES, off_loop

T = TypeVar("T")

_MAX_ERROR_BYTES = 1024 * 1024


class BedrockRequest(Struct, frozen=True):
    """A request without host and signature. path, query: percent-encoded as sent. headers: names in lower case."""

    service: Service
    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Reachability(Struct):
    """Why the last attempt of any request had no connection to Bedrock; empty where it had one."""

    problem: str = "not contacted yet"


class BedrockClient(Struct):
    """Sends requests to Bedrock in one location."""

    endpoints: dict[Service, ServiceEndpoint]
    credentials: CredentialsProvider
    signer: Signer
    transport: Transport
    retry: RetryPolicy
    reachability: Reachability = field(default_factory=Reachability)

    async def run(
        self, request: BedrockRequest, deadline: Deadline, parse: Callable[[HttpResponse, AttemptContext], Awaitable[T]]
    ) -> T:
        """Send a request to the control plane, with retries, and return what `parse` returns.

        Raises:
            GatewayError: as `attempt` does, by the last attempt.
        """
        async for attempt in self.retry.retrying(deadline):
            with attempt:
                return await self.attempt(request, AttemptContext(), parse)
        raise AssertionError("a retry loop ends by returning or raising")

    async def attempt(
        self,
        request: BedrockRequest,
        attempt: AttemptContext,
        parse: Callable[[HttpResponse, AttemptContext], Awaitable[T]],
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> T:
        """Send a request once, and return what `parse` makes of a successful response.

        Args:
            attempt: its headers are sent, and the id of the response is noted in it.
            parse: owns the response once it has returned; if it raises, the response is closed here.

        Raises:
            GatewayError: with Bedrock's own response in `upstream` if there was one. Also whatever `parse` raises.
        """
        identity = self.credentials.identity or await self.credentials.get()
        size, headers = len(request.body), attempt.headers
        try:
            if size <= MAX_LOOP_BYTES:
                prepared = self._prepare(request, identity, headers, timeouts)
            else:
                prepare = partial(self._prepare, request, identity, headers, timeouts)
                prepared = await off_loop(attempt.caller, size, prepare)
            response = await self.transport.open(prepared)
            by_name = dict(response.headers)
            attempt.upstream_request_id = by_name.get("x-amzn-requestid", "")
            attempt.length = int(by_name.get("content-length", -1))
            try:
                if response.status >= 300:
                    raise error_of_reply(response.status, response.headers, await _read_error_body(response))
                parsed = await parse(response, attempt)
            except BaseException:
                response.close()
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
        if self.reachability.problem:
            self._note_reachability(request.service, "")
        return parsed

    def _note_reachability(self, service: Service, problem: str) -> None:
        """Only the runtime counts: requests do not need the control plane, whose network path may differ."""
        if service == "bedrock-runtime":
            self.reachability.problem = problem

    def _prepare(self, request: BedrockRequest, identity: Identity, trace: Headers, timeouts: Timeouts) -> HttpRequest:
        endpoint = self.endpoints[request.service]
        path = endpoint.path + request.path
        target = SigningTarget(
            request.method,
            endpoint.host,
            path,
            request.query,
            request.headers,
            request.service if request.service in OWN_NAMES else SIGNING_NAME,
        )
        headers = self.signer.sign(identity, target, request.body)
        headers += trace  # not signed: proxies on the way may change them
        url = f"{endpoint.origin}{path}?{request.query}" if request.query else endpoint.origin + path
        return HttpRequest(request.method, url, headers, request.body, timeouts)


async def _read_error_body(response: HttpResponse) -> bytes:
    """Read the body of an error response; empty if it breaks off or is too large, since the status suffices."""
    try:
        return await response.read(_MAX_ERROR_BYTES)
    except GatewayError:
        return b""
