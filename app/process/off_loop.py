"""Runs heavy work in threads, so that the event loop goes on. The work of different callers takes turns."""

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
_Work = tuple[Future[Any], Callable[[], Any]]

# work on fewer bytes takes less than a few tens of milliseconds, whatever they hold; a thread would cost more
MAX_LOOP_BYTES = 64 * 1024
# more would help no one: docs/adr/0032-fair-turns-of-heavy-work.md
_THREADS = 2
_MAX_REST_SECONDS = 0.1
# after which a thread gives the interpreter's lock to the event loop; Python's default is ten times as long
_SWITCH_SECONDS = 0.0005


class FairPool:
    """Runs work in threads: one piece of a caller at a time, and those of different callers in turn.

    After a piece, its caller rests for as long as it took, at most 0.1 s: parsing holds the interpreter's
    lock, which the event loop needs to serve the others.

    Args:
        threads: how many. They share the interpreter's lock with the event loop, so few are best.
    """

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, "off-loop", partial(sys.setswitchinterval, _SWITCH_SECONDS))
        self._lock = threading.Lock()
        # by caller; the caller whose turn is next comes first
        self._queues: dict[str, deque[_Work]] = {}
        self._running: set[str] = set()

    def submit(self, caller: str, work: Callable[[], T]) -> Future[T]:
        """Run `work` when it is the caller's turn."""
        future: Future[T] = Future()
        future.add_done_callback(partial(self._drop_cancelled, caller))
        with self._lock:
            self._queues.setdefault(caller, deque()).append((future, work))
        self._executor.submit(self._run_all)
        return future

    def _drop_cancelled(self, caller: str, future: Future[Any]) -> None:
        """Forget work that was cancelled before its turn: it may hold a large body."""
        if not future.cancelled():
            return
        with self._lock:
            if left := deque(each for each in self._queues.get(caller, ()) if each[0] is not future):
                self._queues[caller] = left
            else:
                self._queues.pop(caller, None)

    def _run_all(self) -> None:
        """Run one piece of work after the other, until none is left of a caller that no other thread works for."""
        while (turn := self._next()) is not None:
            caller, (future, work) = turn
            started = time.monotonic()
            if future.set_running_or_notify_cancel():
                try:
                    result = work()
                except BaseException as error:  # noqa: BLE001 -- it is raised where the result is awaited
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            # an error refers to this frame, and what is left here would live as long as the error
            del turn, future, work
            if caller in self._queues:
                time.sleep(min(time.monotonic() - started, _MAX_REST_SECONDS))
            with self._lock:
                self._running.discard(caller)

    def _next(self) -> tuple[str, _Work] | None:
        with self._lock:
            for caller, queue in self._queues.items():
                if caller not in self._running:
                    work = queue.popleft()
                    del self._queues[caller]
                    if queue:
                        self._queues[caller] = queue
                    self._running.add(caller)
                    return caller, work
        return None


_pool = FairPool(_THREADS)


async def off_loop(caller: str, size: int, work: Callable[[], T]) -> T:
    """Run `work` on `size` bytes: in a thread where they exceed MAX_LOOP_BYTES, else at once.

    On the request path, call small work directly: `work() if size <= MAX_LOOP_BYTES else await off_loop(...)`.
    """
    return await asyncio.wrap_future(_pool.submit(caller, work)) if size > MAX_LOOP_BYTES else work()
