"""The embedded Bedrock with somebody at its door, who notes each request and its answer."""

from dataclasses import dataclass
from typing import Any

from app.wire import json
from tests.servers import emulator_app


@dataclass
class RequestContext:
    """A request that reached Bedrock, and what it answered. service: the name in the signature."""

    service: str
    path: str
    body: Any
    headers: dict[str, str]
    answer: bytes = b""


class Watched:
    """An ASGI application: the embedded Bedrock, and the exchanges that it had, in their order."""

    def __init__(self) -> None:
        self.exchanges: list[RequestContext] = []
        self._inside = emulator_app()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._inside(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        service = headers["authorization"].split("/")[3]
        context = RequestContext(service, scope["path"], json.loads(body), headers)
        self.exchanges.append(context)
        is_given = False

        async def again() -> Any:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def noted(message: Any) -> None:
            context.answer += message.get("body", b"")
            await send(message)

        await self._inside(scope, again, noted)
