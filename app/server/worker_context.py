"""What one of several processes has in common with the others; of a process alone, nothing."""

import asyncio
import os
import select
import signal
from collections.abc import Callable

from msgspec import Struct, field

from app.process.shared_counter import SharedCounter
from app.server.worker_peers import WorkerPeers

COUNTERS = 8
# and of each caller
COUNTERS_OF_EACH_CALLER = 5


class WorkerContext(Struct, frozen=True):
    """A process's part.

    processes: how many there are. tallies: what is counted by all of them together. siblings: the others, if any.
    lifeline: a file descriptor that can be read, to its end, once all are told to end, or nobody watches over them.
    """

    processes: int = 1
    counters: list[SharedCounter] = field(default_factory=lambda: [SharedCounter() for _ in range(COUNTERS)])
    peers: WorkerPeers | None = None
    shutdown_pipe: int | None = None

    def begin(self, render: Callable[[], bytes]) -> Callable[[], None]:
        """Answer the others with what `render` makes, and end with whoever watches, until the result is called."""
        if self.peers is None or self.shutdown_pipe is None:
            return lambda: None
        loop, shutdown_pipe = asyncio.get_running_loop(), self.shutdown_pipe

        def end() -> None:
            loop.remove_reader(shutdown_pipe)  # it can be read for ever
            os.kill(os.getpid(), signal.SIGTERM)

        loop.add_reader(shutdown_pipe, end)
        stop_answering = self.peers.answer(render)

        def stop() -> None:
            loop.remove_reader(shutdown_pipe)
            stop_answering()

        return stop

    def all_end(self) -> bool:
        """True if the others end as well, should this process end now."""
        return self.shutdown_pipe is None or bool(select.select([self.shutdown_pipe], [], [], 0)[0])

    def render(self, own: Callable[[], bytes]) -> bytes:
        """What all processes tell, where `own` renders what this one does."""
        return own() if self.peers is None else self.peers.render(own)
