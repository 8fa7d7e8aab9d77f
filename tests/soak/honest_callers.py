"""Three callers that send complete and streamed chat requests at a steady pace, and measure their answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from msgspec import Struct

KEYS = {name: f"secret-of-caller-{name}" for name in ("open", "anthropic", "signing", "hostile")}
PACE_SECONDS = 0.1
_TIMEOUT_SECONDS = 20.0


class Answer(Struct, frozen=True):
    """An answer. started: seconds of the monotonic clock. problem: why it is not complete; empty if it is."""

    caller: str
    kind: str
    started: float
    seconds: float
    problem: str


async def _openai(client: httpx.AsyncClient, is_streamed: bool) -> tuple[httpx.Response, bytes]:
    body = {"model": "a.b", "messages": [{"role": "user", "content": "hi"}], "stream": is_streamed}
    headers = {"authorization": f"Bearer {KEYS['open']}"}
    response = await client.post("/v1/chat/completions", json=body, headers=headers)
    return response, b"data: [DONE]" if is_streamed else b'"hello"'


async def _anthropic(client: httpx.AsyncClient, is_streamed: bool) -> tuple[httpx.Response, bytes]:
    message = {"role": "user", "content": "hi"}
    body = {"model": "a.b", "max_tokens": 500, "messages": [message], "stream": is_streamed}
    response = await client.post("/v1/messages", json=body, headers={"x-api-key": KEYS["anthropic"]})
    return response, b"event: message_stop" if is_streamed else b'"hello"'


async def _signing(client: httpx.AsyncClient, is_streamed: bool) -> tuple[httpx.Response, bytes]:
    path = f"/model/a.b/converse{'-stream' if is_streamed else ''}"
    body = b'{"messages":[{"role":"user","content":[{"text":"hi"}]}]}'
    request = AWSRequest(
        "POST", f"{str(client.base_url).rstrip('/')}{path}", {"content-type": "application/json"}, body
    )
    SigV4Auth(Credentials("signing", KEYS["signing"]), "bedrock", "us-east-1").add_auth(request)
    response = await client.post(path, content=body, headers=dict(request.headers))
    return response, b"metadata" if is_streamed else b'"hello"'


Call = Callable[[httpx.AsyncClient, bool], Awaitable[tuple[httpx.Response, bytes]]]
# unverified signatures are limited by address, and the hostile key forges some on 127.0.0.1
_CALLERS: dict[str, tuple[str, Call]] = {
    "open": ("127.0.0.1", _openai),
    "anthropic": ("127.0.0.1", _anthropic),
    "signing": ("127.0.0.2", _signing),
}


class HonestCallers:
    """Sends the requests of all callers to the gateway at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def run_during(self, event: Awaitable[object]) -> list[Answer]:
        """Until `event`, send one request of each caller each PACE_SECONDS, whether earlier ones are answered or not."""
        awaited = asyncio.ensure_future(event)
        answers: list[Answer] = []
        async with AsyncExitStack() as clients, asyncio.TaskGroup() as requests:
            opened = [
                (name, call, await clients.enter_async_context(self._client(address)))
                for name, (address, call) in _CALLERS.items()
            ]
            start = time.monotonic()
            for turn in count():
                await asyncio.sleep(start + turn * PACE_SECONDS / len(opened) - time.monotonic())
                if awaited.done():
                    break
                name, call, client = opened[turn % len(opened)]
                is_streamed = bool(turn // len(opened) % 2)
                requests.create_task(self._measure(answers, name, call, client, is_streamed))
        return answers

    def _client(self, address: str) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(local_address=address)
        return httpx.AsyncClient(base_url=self._url, transport=transport, timeout=_TIMEOUT_SECONDS)

    async def _measure(
        self, answers: list[Answer], name: str, call: Call, client: httpx.AsyncClient, is_streamed: bool
    ) -> None:
        started, problem = time.monotonic(), ""
        try:
            response, end = await call(client, is_streamed)
            if response.status_code != 200 or end not in response.content:
                problem = f"{response.status_code} {response.text[:500]}"
        except httpx.HTTPError as error:
            problem = repr(error)
        kind = "streamed" if is_streamed else "complete"
        answers.append(Answer(name, kind, started, time.monotonic() - started, problem))
