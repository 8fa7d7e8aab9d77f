"""A client of `/v1/responses` over WebSocket, by the `websockets` library."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.servers import KEY

ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


class Caller:
    """One connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, **message: Any) -> None:
        """Send a request for a response."""
        self.connection.send(json.dumps({"type": "response.create", **message}))

    def receive(self) -> Any:
        """Return the next event."""
        return json.loads(self.connection.recv(timeout=30))

    def events(self) -> list[Any]:
        """Return the events of a response, to the last."""
        events = [self.receive()]
        while events[-1]["type"] not in ENDS:
            events.append(self.receive())
        return events

    def ask(self, **message: Any) -> Any:
        """Send a request, and return the last event."""
        self.send(**message)
        return self.events()[-1]


def address(url: str, path: str = "/v1/responses") -> str:
    return f"ws{url.removeprefix('http')}{path}"


@contextmanager
def calling(url: str, path: str = "/v1/responses", key: str = KEY, **headers: str) -> Iterator[Caller]:
    """Open a WebSocket. Raises InvalidStatus if it is refused."""
    with connect(address(url, path), additional_headers={"authorization": f"Bearer {key}", **headers}) as connection:
        yield Caller(connection)
