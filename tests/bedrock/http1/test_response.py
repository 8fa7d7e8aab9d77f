"""How an answer is filled and poured, without a connection."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from app.bedrock.http1.response import Http1Response
from app.errors import ConnectionLost


class Source:
    """Records the calls that pause and resume it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.is_aborted = False

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def abort(self) -> None:
        self.is_aborted = True


async def pouring(response: Http1Response, take: Callable[[bytes], bool]) -> asyncio.Task[bool]:
    task = asyncio.create_task(response.deliver(take))
    await asyncio.sleep(0)
    return task


async def test_a_piece_is_given_from_within_the_read_that_brought_it() -> None:
    taken: list[bytes] = []
    response = Http1Response(Source())
    poured = await pouring(response, lambda data: not taken.append(data))
    for pieces in ((b"a",), (b"b", b"c")):
        for piece in pieces:
            response.put(piece)
        response.wake()
    assert taken == [b"a", b"bc"]
    response.put(b"d")
    response.complete()
    assert taken == [b"a", b"bc", b"d"]
    assert await poured


async def test_what_arrives_behind_enough_is_kept() -> None:
    taken: list[bytes] = []
    response = Http1Response(Source())
    poured = await pouring(response, lambda data: bool(taken.append(data)))
    for piece in (b"a", b"b"):
        response.put(piece)
        response.wake()
    response.complete()
    assert (await poured, taken) == (False, [b"a"])
    assert not await response.deliver(lambda data: bool(taken.append(data)))
    assert await response.deliver(lambda data: bool(taken.append(data)))
    assert taken == [b"a", b"b"]


async def test_an_end_that_is_none_comes_behind_what_arrived_with_it() -> None:
    taken: list[bytes] = []
    response = Http1Response(Source())
    poured = await pouring(response, lambda data: not taken.append(data))
    response.put(b"a")
    response.fail(ConnectionLost("broke"))
    with pytest.raises(ConnectionLost, match="broke"):
        await poured
    assert taken == [b"a"]


@pytest.mark.parametrize("is_complete", [True, False])
async def test_what_is_raised_is_raised_where_it_is_poured(*, is_complete: bool) -> None:
    def refuse(data: bytes) -> bool:
        raise KeyError(data)

    response = Http1Response(Source())
    poured = await pouring(response, refuse)
    response.put(b"a")
    response.wake()
    response.put(b"b")
    if is_complete:
        response.complete()
    else:
        response.wake()
    with pytest.raises(KeyError, match="a"):
        await poured


async def test_a_source_is_held_only_while_nobody_takes() -> None:
    source = Source()
    response = Http1Response(source)
    poured = await pouring(response, lambda data: data != b"enough")
    response.put(bytes(100_000))
    response.wake()
    assert source.calls == ["pause", "resume"]
    response.put(b"enough")
    response.wake()
    assert not await poured
    response.put(bytes(100_000))
    response.wake()
    assert source.calls == ["pause", "resume", "pause"]


async def test_who_is_cancelled_takes_no_more() -> None:
    taken: list[bytes] = []
    source = Source()
    response = Http1Response(source)
    poured = await pouring(response, lambda data: not taken.append(data))
    poured.cancel()
    response.put(b"a")
    response.wake()
    response.close()
    with pytest.raises(asyncio.CancelledError):
        await poured
    assert (source.is_aborted, taken) == (True, [])


class Odd(Exception):
    """One that can be watched."""


async def test_what_is_raised_is_free_once_it_has_been_told() -> None:
    held: list[weakref.ref[Odd]] = []

    def made() -> Odd:
        error = Odd()
        held.append(weakref.ref(error))
        return error

    def refuse(_: bytes) -> bool:
        raise made()

    gc.disable()
    try:
        response = Http1Response(Source())
        for fill in (partial(response.put, b"a"), response.wake):
            asyncio.get_running_loop().call_soon(fill)
        with contextlib.suppress(Odd):
            await response.deliver(refuse)
        await asyncio.sleep(0)  # the event loop still has hold of what woke this task
        assert held[0]() is None
    finally:
        gc.enable()
