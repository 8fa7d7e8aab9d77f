"""The embedded Bedrock, which records each request and its response."""

from dataclasses import dataclass
from typing import Any

from app.wire import json
from tests.servers import emulator_app


@dataclass
class RecordedRequest:
    """A request that reached Bedrock, and its response. service: the service name in the signature."""

    service: str
    path: str
    body: Any
    headers: dict[str, str]
    response: bytes = b""


class RecordingBedrock:
    """An ASGI application: the embedded Bedrock; `requests` lists its POST requests in order."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self._emulator = emulator_app()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._emulator(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        service = headers["authorization"].split("/")[3]
        request = RecordedRequest(service, scope["path"], json.loads(body), headers)
        self.requests.append(request)
        is_replayed = False

        async def replay_body() -> Any:
            nonlocal is_replayed
            if is_replayed:
                return await receive()
            is_replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def record_response(message: Any) -> None:
            request.response += message.get("body", b"")
            await send(message)

        await self._emulator(scope, replay_body, record_response)
