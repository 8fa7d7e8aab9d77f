"""What several processes tell, told by any one of them: each answers through a channel that all were forked with."""

import asyncio
import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

_SECONDS = 2.0
_QUESTION = b"?"
# of a text, before it
_LENGTH = 8
_PIECE = 64 * 1024
_ANSWERING = "# HELP outcrop_processes Processes that told of themselves here.\n# TYPE outcrop_processes gauge\n"


class Channel:
    """Questions to one process; whoever asks sends along where to answer. Made before anybody is forked."""

    def __init__(self) -> None:
        self.asked, self._ask = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.asked.setblocking(False)
        self._ask.setblocking(False)

    def ask(self) -> socket.socket | None:
        """Ask; where the answer will come, until its end, or nothing where the process takes no more questions."""
        here, there = socket.socketpair()
        with there:
            try:
                socket.send_fds(self._ask, [_QUESTION], [there.fileno()])
            except OSError:
                here.close()
                return None
        here.setblocking(False)
        return here

    def close(self) -> None:
        """Nobody asks any more, and nobody answers."""
        self.asked.close()
        self._ask.close()


class WorkerPeers(Struct, frozen=True):
    """The processes of one gateway. channels: of all of them. own: the place of this one."""

    channels: list[Channel]
    own: int

    def answer(self, render: Callable[[], bytes]) -> Callable[[], None]:
        """Answer every question with what `render` makes, in a thread, until what is returned is called."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "siblings")
        asked = self.channels[self.own].asked

        def look() -> None:
            with contextlib.suppress(OSError):
                _, descriptors, *_ = socket.recv_fds(asked, len(_QUESTION), 1)
                for descriptor in descriptors:
                    loop.run_in_executor(thread, _say, socket.socket(fileno=descriptor), render)

        def stop() -> None:
            loop.remove_reader(asked)
            thread.shutdown(wait=False)

        loop.add_reader(asked, look)
        return stop

    def render(self, own: Callable[[], bytes]) -> bytes:
        """What all processes tell, in Prometheus's text format, each sample with its `process`; takes a while.

        One that does not answer in time is left out.
        """
        answers = {index: channel.ask() for index, channel in enumerate(self.channels) if index != self.own}
        texts = {self.own: own(), **_listen({index: answer for index, answer in answers.items() if answer is not None})}
        told = together({str(index): text.decode() for index, text in sorted(texts.items())})
        return f"{told}{_ANSWERING}outcrop_processes {len(texts)}\n".encode()


def together(texts: dict[str, str]) -> str:
    """Texts in Prometheus's format as one: each metric told of once, each sample with the name of its `process`."""
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
    """A sample with one more label; the name before its labels holds neither brace nor space."""
    head, brace, rest = sample.partition("{")
    if brace and " " not in head:
        return f'{head}{{process="{process}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{process="{process}"}} {value}'


def _say(answer: socket.socket, render: Callable[[], bytes]) -> None:
    with answer, contextlib.suppress(OSError):
        answer.settimeout(_SECONDS)
        text = render()
        answer.sendall(len(text).to_bytes(_LENGTH) + text)


def _listen(answers: dict[int, socket.socket]) -> dict[int, bytes]:
    """What each says, of those who have said all of it in time; closes the sockets."""
    said = {index: bytearray() for index in answers}
    deadline = time.monotonic() + _SECONDS
    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as selector:
        for index, answer in answers.items():
            selector.register(opened.enter_context(answer), selectors.EVENT_READ, index)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                piece = b""
                with contextlib.suppress(OSError):
                    piece = answers[key.data].recv(_PIECE)
                said[key.data] += piece
                if not piece:
                    selector.unregister(key.fileobj)
    return {
        index: bytes(text[_LENGTH:])
        for index, text in said.items()
        if len(text) >= _LENGTH and len(text) == _LENGTH + int.from_bytes(text[:_LENGTH])
    }
