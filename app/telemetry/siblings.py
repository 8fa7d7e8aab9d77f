"""What several processes tell, told by any one of them: each answers through a channel that all were forked with."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

_SECONDS = 2.0
_QUESTION = b"?"


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
        here.settimeout(_SECONDS)
        return here

    def close(self) -> None:
        """Nobody asks any more, and nobody answers."""
        self.asked.close()
        self._ask.close()


@dataclass(frozen=True, slots=True)
class Siblings:
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
        answers = {place: channel.ask() for place, channel in enumerate(self.channels) if place != self.own}
        texts = {self.own: own()}
        for place, answer in answers.items():
            if answer is not None:
                with answer, contextlib.suppress(OSError):
                    texts[place] = _listen(answer)
        return together({str(place): text.decode() for place, text in sorted(texts.items())}).encode()


def together(texts: dict[str, str]) -> str:
    """Texts in Prometheus's format as one: each metric told of once, each sample with the name of its `process`."""
    families: dict[str, list[str]] = {}
    for process, text in texts.items():
        samples: list[str] = []
        for line in text.splitlines():
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
        answer.sendall(render())


def _listen(answer: socket.socket) -> bytes:
    return b"".join(_pieces(answer))


def _pieces(answer: socket.socket) -> Iterable[bytes]:
    while piece := answer.recv(64 * 1024):
        yield piece
