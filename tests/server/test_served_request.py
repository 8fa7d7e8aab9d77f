"""Responses, write by write; tests/end_to_end/test_heads.py tests them over sockets."""

import asyncio
from typing import Any, cast

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.server.connection_interface import FlowControl
from app.server.served_request import ServedRequest, ServingConnection

START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY: Message = {"type": "http.response.body", "body": b"ok"}


class Connection:
    """A connection, its transport and all that an request uses of them; `said` are the writes and the close."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.loop = asyncio.get_running_loop()
        self.transport = self.server_state = self.unread = self.closing = self.flow = self
        self.default_headers = [(b"date", b"now")]
        self.tasks = {asyncio.current_task()}
        self.written = 0
        self.write_paused = self.is_closed = False
        self.completed = 0

    @property
    def is_closing(self) -> Any:
        return self.is_closed

    def write(self, data: bytes) -> None:
        self.said.append(data)

    def begin(self) -> None:
        self.is_closed = True
        self.said.append(b"closed")

    def pause_reading(self) -> None:
        self.said.append(b"paused")

    def resume_reading(self) -> None:
        """Nothing was paused."""

    def on_response_complete(self) -> None:
        self.completed += 1


class Transport(Connection):
    """`is_closing` is a method of a transport."""


def request_on(connection: Connection, **options: Any) -> ServedRequest:
    connection.transport = cast(Any, _TransportOf(connection))
    options = {"keeps_alive": True, "awaits_continue": False, "is_framed": True, "is_head": False, **options}
    return ServedRequest(cast(ServingConnection, connection), cast(FlowControl, connection), **options)


class _TransportOf:
    def __init__(self, connection: Connection) -> None:
        self.write = connection.write
        self.is_closing = lambda: connection.is_closed


async def sent(*messages: Message, **options: Any) -> Connection:
    """Send messages, each before the event loop goes on."""
    connection = Connection()
    request = request_on(connection, **options)
    for message in messages:
        await request.send(message)
    await asyncio.sleep(0)
    return connection


async def test_a_complete_response_is_one_write() -> None:
    connection = await sent(START, BODY)
    head = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\n"
    assert (connection.said, connection.written, connection.completed) == ([head + b"ok"], len(head) + 2, 1)


async def test_a_response_is_written_without_events() -> None:
    connection = Connection()
    request_on(connection, keeps_alive=False).respond(200, ["a: b\tc"], b"ok")
    head = b"HTTP/1.1 200 OK\r\ndate: now\r\na: b\tc\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"
    assert connection.said == [head + b"ok", b"closed"]


async def test_a_head_does_not_wait_for_a_body() -> None:
    connection = await sent({**START, "headers": []})
    assert connection.said == [b"HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n"]


async def test_a_body_without_a_length_is_sent_in_chunks() -> None:
    connection = await sent({**START, "headers": []}, {**BODY, "more_body": True}, {**BODY, "body": b""})
    assert b"".join(connection.said).partition(b"\r\n\r\n")[2] == b"2\r\nok\r\n0\r\n\r\n"


async def test_a_body_of_http_1_0_without_a_length_ends_with_the_connection() -> None:
    connection = await sent({**START, "headers": []}, BODY, keeps_alive=False, is_framed=False)
    assert connection.said == [b"HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\n\r\nok", b"closed"]


async def test_head_gets_no_body() -> None:
    connection = await sent(START, BODY, is_head=True)
    assert b"".join(connection.said).endswith(b"content-length: 2\r\n\r\n")
    assert connection.completed == 1


@pytest.mark.parametrize(
    "messages",
    [
        [BODY],
        [START, START],
        [START, BODY, BODY],
        [START, {**BODY, "body": b"long"}],
        [START, {**BODY, "body": b""}],
        [{**START, "headers": [(b"a", b"b\r\nc: d")]}],
        [{**START, "headers": [(b"a", b"\x00")]}],
    ],
)
async def test_wrong_events_are_refused(messages: list[Message]) -> None:
    with pytest.raises(RuntimeError):
        await sent(*messages)


async def test_a_failed_application_gets_an_error_or_loses_the_connection() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["path"]:
            await send(START)
        raise ValueError

    for path, expected in (("", b"HTTP/1.1 500 Internal Server Error"), ("/", b"HTTP/1.1 200 OK")):
        connection = Connection()
        await request_on(connection).run(fails, {"path": path})
        assert connection.said[0].startswith(expected)
        assert connection.said[-1] == b"closed"
        assert connection.tasks == set(), "a shutdown would wait for it"


async def test_a_body_is_taken_at_once_if_all_of_it_has_arrived() -> None:
    connection = Connection()
    request = request_on(connection, awaits_continue=True)
    request.add_body(b"a")
    assert request.take_body() is None
    request.add_body(b"b")
    request.end_body()
    assert request.take_body() == b"ab"
    assert connection.said == [], "no 100 Continue: the body has arrived"
    receiving = asyncio.create_task(request.receive())
    await asyncio.sleep(0)
    request.lose()
    assert await receiving == {"type": "http.disconnect"}
    assert request.take_body() is None


async def test_the_body_arrives_in_pieces_and_a_disconnect_ends_it() -> None:
    connection = Connection()
    request = request_on(connection, awaits_continue=True)
    request.add_body(b"a")
    request.add_body(b"b")
    assert await request.receive() == {"type": "http.request", "body": b"ab", "more_body": True}
    assert connection.said == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    receiving = asyncio.create_task(request.receive())
    await asyncio.sleep(0)
    request.add_body(b"c")
    request.end_body()
    assert await receiving == {"type": "http.request", "body": b"c", "more_body": False}
    assert request.take_body() == b""
    called: list[str] = []
    request.set_disconnect_callback(lambda: called.append("gone"))
    request.lose()
    assert await request.receive() == {"type": "http.disconnect"}
    assert request.take_body() is None
    await request.send(START)
    assert (called, connection.completed) == (["gone"], 0)
