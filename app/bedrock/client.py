"""The client of Bedrock: it puts endpoint, identity, signature, transport and retry together, and adds nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from app.bedrock.credentials import CredentialsProvider
from app.bedrock.endpoints import Endpoint, Service
from app.bedrock.errors import IdentityRefused, error_of_reply
from app.bedrock.retry import RetryPolicy
from app.bedrock.signing import Signer
from app.bedrock.transport import HttpRequest, HttpResponse, Transport
from app.errors import GatewayError, UpstreamFailed, UpstreamTimeout
from app.kit.clock import Deadline

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BedrockRequest:
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
    """Hears of each attempt as it starts: a record of the request counts them."""

    attempts: int
    upstream_request_id: str


@dataclass(slots=True)
class Reachability:
    """Whether Bedrock could be reached, as last seen by any request. `problem` is empty when it could."""

    problem: str = "not contacted yet"

    def note(self, error: GatewayError | None) -> None:
        """Take the outcome of an attempt: only a missing answer counts against it, not a refusal."""
        if error is None or error.upstream is not None or isinstance(error, IdentityRefused):
            self.problem = ""
        elif isinstance(error, UpstreamFailed | UpstreamTimeout):
            self.problem = error.message


@dataclass(slots=True)
class BedrockClient:
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

        `take` is part of the attempt: what fails in it is tried again, so it reads as far as nothing has reached the
        caller yet. It owns the answer once it has returned; when it raises, the answer is closed here.

        Raises:
            GatewayError: the outcome of the last attempt, with Bedrock's own answer in `upstream` where there was one.
        """
        async for attempt in self.retry.retrying(deadline):
            with attempt:
                listener.attempts += 1
                return await self._attempt(request, listener, take)
        raise AssertionError("a retry loop ends by returning or raising")

    async def _attempt(
        self, request: BedrockRequest, listener: AttemptListener, take: Callable[[HttpResponse], Awaitable[T]]
    ) -> T:
        try:
            response = await self.transport.open(await self._prepare(request))
            try:
                listener.upstream_request_id = dict(response.headers).get("x-amzn-requestid", "")
                if response.status >= 300:
                    raise error_of_reply(response.status, response.headers, await response.read())
                taken = await take(response)
            except BaseException:
                response.close()
                raise
        except GatewayError as error:
            self.reachability.note(error)
            if isinstance(error, IdentityRefused):
                self.credentials.mark_stale()
            raise
        self.reachability.note(None)
        return taken

    async def _prepare(self, request: BedrockRequest) -> HttpRequest:
        endpoint = self.endpoints[request.service]
        path = endpoint.path + request.path
        identity = await self.credentials.get()
        headers = self.signer.sign(
            identity, request.method, endpoint.host, path, request.query, [*request.headers], request.body
        )
        query = f"?{request.query}" if request.query else ""
        return HttpRequest(request.method, f"{endpoint.origin}{path}{query}", headers, request.body)
