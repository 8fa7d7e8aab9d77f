"""Relays: the order of batches, errors, and the closing of the response."""

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.bedrock.transport import MAX_BYTES
from app.errors import UpstreamFailed
from app.execution.relay import Relay
from tests.execution.test_executor import Response
from tests.stream_helpers import pieces_of


class Reader:
    """Hears lines; the word `over` says that nothing follows, `bad` that it makes no sense."""

    def __init__(self) -> None:
        self.is_over = self.is_finished = False

    def feed(self, data: bytes) -> list[bytes]:
        if data == b"bad":
            raise UpstreamFailed("bad")
        self.is_over = data == b"over"
        return data.split() if data.strip() and not self.is_over else []

    def finish(self) -> None:
        self.is_finished = True
        if not self.is_over:
            raise UpstreamFailed("early")


async def received(relay: Any) -> list[Any]:
    return [each async for each in pieces_of(relay)]


async def test_each_read_with_a_batch_is_delivered() -> None:
    relay = await Relay(Response(200, [b" ", b"a b", b" ", b"c", b"over"]), Reader()).begun()
    assert await received(relay) == [[b"a", b"b"], [b"c"]]


@pytest.mark.parametrize("pieces", [[], [b" "], [b"bad"], [b" ", b"bad"]])
async def test_a_failure_before_the_first_batch_closes_the_response(pieces: list[bytes]) -> None:
    response, noted = Response(200, pieces), []
    with pytest.raises(UpstreamFailed, match="early" if b"bad" not in pieces else "bad"):
        await Relay(response, Reader(), on_end=lambda: noted.append(1)).begun()
    assert (response.is_closed, noted) == (True, [1])


async def test_a_later_failure_is_raised_after_the_batches_before_it() -> None:
    relay = await Relay(Response(200, [b"a", b"b", b"bad", b"c"]), Reader()).begun()
    pieces = pieces_of(relay)
    assert [await anext(pieces), await anext(pieces)] == [[b"a"], [b"b"]]
    with pytest.raises(UpstreamFailed, match="bad"):
        await anext(pieces)


async def test_an_incomplete_stream_is_reported_after_its_batches() -> None:
    relay = await Relay(Response(200, [b"a"]), Reader()).begun()
    assert not await relay.deliver(lambda _: False)
    with pytest.raises(UpstreamFailed, match="early"):
        await relay.deliver(lambda _: True)


async def test_an_error_of_the_receiver_is_raised() -> None:
    def refuse(_: Any) -> bool:
        raise KeyError("x")

    relay = await Relay(Response(200, [b"a"]), Reader()).begun()
    with pytest.raises(KeyError, match="x"):
        await relay.deliver(refuse)


class Endless(Response):
    """Says that it is over, and does not end; or ends badly."""

    async def deliver(self, take: Callable[[bytes], bool]) -> bool:
        if not await super().deliver(take):
            return False
        if self.status == 500:
            raise UpstreamFailed("broke")
        await asyncio.Event().wait()
        return True

    async def read(self, limit: int = MAX_BYTES) -> bytes:
        raise AssertionError


@pytest.mark.parametrize("status", [200, 500])
async def test_a_failure_after_a_complete_answer_is_ignored(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.execution.relay._AFTER_THE_END", 0.01)
    for pieces in ([b"a", b"over", b"more"], [b"a", b"over"]):
        response = Endless(status, pieces)
        assert await received(await Relay(response, Reader()).begun()) == [[b"a"]]
        assert [*response.left] == []


async def test_closing_twice_ends_a_relay_once() -> None:
    response, noted = Response(200, [b"a", b"b"]), []
    relay = await Relay(response, Reader(), on_end=lambda: noted.append(1)).begun()
    relay.close()
    relay.close()
    assert (response.is_closed, noted) == (True, [1])


async def test_a_relay_without_references_closes_its_response() -> None:
    response = Response(200, [b"a", b"b"])
    relay = await Relay(response, Reader()).begun()
    assert not await relay.deliver(lambda _: False)
    del relay
    await asyncio.sleep(0)
    assert response.is_closed


async def test_a_relay_collected_in_another_thread_is_closed_by_the_event_loop() -> None:
    closed_by: list[int] = []
    response = Response(200, [b"a", b"b"])
    monkey: Any = response
    monkey.close = lambda: closed_by.append(threading.get_ident())
    held: list[Any] = [await Relay(response, Reader()).begun()]
    held.append(held)
    del held
    await asyncio.to_thread(gc.collect)
    await asyncio.sleep(0)
    assert closed_by == [threading.get_ident()]
