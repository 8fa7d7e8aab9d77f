"""What a worker process shares with its peers: counters, metrics and the shutdown pipe."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, field

from app.server.worker_counters import WorkerCounters

if TYPE_CHECKING:
    from app.server.worker_peers import WorkerPeers


class WorkerContext(Struct, frozen=True):
    """What one worker process shares with its peers; by default, the context of a process without peers.

    processes: how many there are. peers: answers and queries metrics.
    shutdown_pipe: a file descriptor that is at its end once all workers shall stop, or their supervisor has died.
    """

    processes: int = 1
    counters: WorkerCounters = field(default_factory=WorkerCounters)
    peers: WorkerPeers | None = None
    shutdown_pipe: int | None = None

    def begin(self, render: Callable[[], bytes]) -> Callable[[], None]:
        """Serve what `render` returns to the peers, and stop with the supervisor.

        Returns a function that ends both.
        """
        if self.peers is None or self.shutdown_pipe is None:
            return lambda: None
        loop, shutdown_pipe = asyncio.get_running_loop(), self.shutdown_pipe

        def end() -> None:
            loop.remove_reader(shutdown_pipe)  # it stays readable
            os.kill(os.getpid(), signal.SIGTERM)

        loop.add_reader(shutdown_pipe, end)
        stop_answering = self.peers.answer(render)

        def stop() -> None:
            loop.remove_reader(shutdown_pipe)
            stop_answering()

        return stop

    def all_end(self) -> bool:
        """True if all workers are stopping."""
        return self.shutdown_pipe is None or bool(select.select([self.shutdown_pipe], [], [], 0)[0])

    def render(self, own: Callable[[], bytes]) -> bytes:
        """Return the metrics of all processes. own: renders those of this process."""
        return own() if self.peers is None else self.peers.render(own)
