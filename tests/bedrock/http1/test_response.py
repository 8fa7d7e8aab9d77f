"""`Http1Response` without a connection."""

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


def response_from(source: Source) -> Http1Response:
    return Http1Response(source, asyncio.get_running_loop().create_future())


async def delivering(response: Http1Response, take: Callable[[bytes], bool]) -> asyncio.Task[bool]:
    task = asyncio.create_task(response.deliver(take))
    await asyncio.sleep(0)
    return task


async def test_body_is_delivered_from_within_the_read() -> None:
    taken: list[bytes] = []
    response = response_from(Source())
    delivery = await delivering(response, lambda data: not taken.append(data))
    for pieces in ((b"a",), (b"b", b"c")):
        for piece in pieces:
            response.put([piece])
        response.wake()
    response.pass_on([b"d", b"e"])
    assert taken == [b"a", b"bc", b"de"]
    response.put([b"f"])
    response.complete()
    assert taken == [b"a", b"bc", b"de", b"f"]
    assert await delivery


async def test_body_after_take_returned_false_is_kept() -> None:
    taken: list[bytes] = []
    response = response_from(Source())
    delivery = await delivering(response, lambda data: bool(taken.append(data)))
    for piece in (b"a", b"b"):
        response.pass_on([piece])
    response.complete()
    assert (await delivery, taken) == (False, [b"a"])
    assert not await response.deliver(lambda data: bool(taken.append(data)))
    assert await response.deliver(lambda data: bool(taken.append(data)))
    assert taken == [b"a", b"b"]


async def test_error_is_raised_after_the_bytes_before_it() -> None:
    taken: list[bytes] = []
    response = response_from(Source())
    delivery = await delivering(response, lambda data: not taken.append(data))
    response.put([b"a"])
    response.fail(ConnectionLost("broke"))
    with pytest.raises(ConnectionLost, match="broke"):
        await delivery
    assert taken == [b"a"]


@pytest.mark.parametrize("is_complete", [True, False])
async def test_exception_of_take_is_raised_by_deliver(*, is_complete: bool) -> None:
    def refuse(data: bytes) -> bool:
        raise KeyError(data)

    response = response_from(Source())
    delivery = await delivering(response, refuse)
    response.pass_on([b"a"])
    response.put([b"b"])
    if is_complete:
        response.complete()
    else:
        response.wake()
    with pytest.raises(KeyError, match="a"):
        await delivery


async def test_source_is_paused_only_without_a_reader() -> None:
    source = Source()
    response = response_from(source)
    delivery = await delivering(response, lambda data: data != b"enough")
    response.pass_on([bytes(100_000)])
    assert source.calls == []
    response.pass_on([b"enough"])
    assert not await delivery
    response.pass_on([bytes(100_000)])
    assert source.calls == ["pause"]


async def test_cancelled_delivery_takes_no_more() -> None:
    taken: list[bytes] = []
    source = Source()
    response = response_from(source)
    delivery = await delivering(response, lambda data: not taken.append(data))
    delivery.cancel()
    response.pass_on([b"a"])
    response.close()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    assert (source.is_aborted, taken) == (True, [])


class WeaklyReferenced(Exception):
    """An exception that allows weak references."""


async def test_raised_exception_is_freed() -> None:
    held: list[weakref.ref[WeaklyReferenced]] = []

    def make() -> WeaklyReferenced:
        error = WeaklyReferenced()
        held.append(weakref.ref(error))
        return error

    def refuse(_: bytes) -> bool:
        raise make()

    gc.disable()
    try:
        response = response_from(Source())
        for fill in (partial(response.put, [b"a"]), response.wake):
            asyncio.get_running_loop().call_soon(fill)
        with contextlib.suppress(WeaklyReferenced):
            await response.deliver(refuse)
        await asyncio.sleep(0)  # the event loop still references what woke this task
        assert held[0]() is None
    finally:
        gc.enable()
