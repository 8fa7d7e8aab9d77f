"""Collects the metrics of all worker processes in any one of them, over sockets that are made before the fork."""

import asyncio
import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

_TIMEOUT_SECONDS = 2.0
_QUERY = b"?"
# of the length that is sent before the text
_LENGTH_BYTES = 8
_PIECE_BYTES = 64 * 1024
_PROCESSES = "# HELP outcrop_processes Processes whose metrics are included.\n# TYPE outcrop_processes gauge\n"


class Channel:
    """Carries queries to one worker, each with a socket to which it answers. Made before the workers are forked."""

    def __init__(self) -> None:
        self.receiver, self._sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.receiver.setblocking(False)
        self._sender.setblocking(False)

    def query(self) -> socket.socket | None:
        """Send a query; returns the socket that will receive the answer, or None if the worker's queue is full."""
        here, there = socket.socketpair()
        with there:
            try:
                socket.send_fds(self._sender, [_QUERY], [there.fileno()])
            except OSError:
                here.close()
                return None
        here.setblocking(False)
        return here

    def close(self) -> None:
        """Close both ends."""
        self.receiver.close()
        self._sender.close()


class WorkerPeers(Struct, frozen=True):
    """The workers of one gateway. channels: one for each worker. own: the index of this one."""

    channels: list[Channel]
    own: int

    def answer(self, render: Callable[[], bytes]) -> Callable[[], None]:
        """Answer every query with what `render` returns, in a thread; returns a function that ends this."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "worker-peers")
        receiver = self.channels[self.own].receiver

        def on_query() -> None:
            with contextlib.suppress(OSError):
                _, descriptors, *_ = socket.recv_fds(receiver, len(_QUERY), 1)
                for descriptor in descriptors:
                    loop.run_in_executor(thread, _send_answer, socket.socket(fileno=descriptor), render)

        def stop() -> None:
            loop.remove_reader(receiver)
            thread.shutdown(wait=False)

        loop.add_reader(receiver, on_query)
        return stop

    def render(self, own: Callable[[], bytes]) -> bytes:
        """Return the metrics of all workers in Prometheus's text format, each sample with its `process`.

        Blocks for up to two seconds. A worker that does not answer in time is left out.
        """
        sockets = {index: channel.query() for index, channel in enumerate(self.channels) if index != self.own}
        answers = _receive_answers({index: answer for index, answer in sockets.items() if answer is not None})
        texts = {self.own: own(), **answers}
        merged = merge_metrics({str(index): text.decode() for index, text in sorted(texts.items())})
        return f"{merged}{_PROCESSES}outcrop_processes {len(texts)}\n".encode()


def merge_metrics(texts: dict[str, str]) -> str:
    """Merge texts in Prometheus's format, by process: each metric is described once, each sample has its `process`."""
    families: dict[str, list[str]] = {}
    for process, text in texts.items():
        samples: list[str] = []
        for line in text.removesuffix("\n").split("\n"):
            if line.startswith("# HELP "):
                samples = families.setdefault(line, [])
            elif line.startswith("# TYPE "):
                if not samples:
                    samples.append(line)
            else:
                samples.append(_labelled(line, process))
    return "".join(f"{line}\n" for first, samples in families.items() for line in (first, *samples))


def _labelled(sample: str, process: str) -> str:
    """Add the label `process` to a sample. The name before its labels contains neither brace nor space."""
    head, brace, rest = sample.partition("{")
    if brace and " " not in head:
        return f'{head}{{process="{process}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{process="{process}"}} {value}'


def _send_answer(answer: socket.socket, render: Callable[[], bytes]) -> None:
    with answer, contextlib.suppress(OSError):
        answer.settimeout(_TIMEOUT_SECONDS)
        text = render()
        answer.sendall(len(text).to_bytes(_LENGTH_BYTES) + text)


def _receive_answers(sockets: dict[int, socket.socket]) -> dict[int, bytes]:
    """Return the answers that arrive complete and in time, and close the sockets."""
    received = {index: bytearray() for index in sockets}
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as selector:
        for index, answer in sockets.items():
            selector.register(opened.enter_context(answer), selectors.EVENT_READ, index)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                piece = b""
                with contextlib.suppress(OSError):
                    piece = sockets[key.data].recv(_PIECE_BYTES)
                received[key.data] += piece
                if not piece:
                    selector.unregister(key.fileobj)
    return {
        index: bytes(text[_LENGTH_BYTES:])
        for index, text in received.items()
        if len(text) >= _LENGTH_BYTES and len(text) == _LENGTH_BYTES + int.from_bytes(text[:_LENGTH_BYTES])
    }
