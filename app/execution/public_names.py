"""Connections to servers that callers choose: to public addresses only.

The connection goes to the addresses that were checked, so a second lookup cannot return others. No proxy is used, since
it would resolve the name itself.
"""

import asyncio
import contextlib
import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path

from app.bedrock.http1.connector import Addresses
from app.bedrock.http1.transport import Http1Transport
from app.execution.public_addresses import is_public

_MAX_LOOKUPS = 32
_MAX_LOOKUPS_OF_A_CALLER = 4
# the caller for whom a name is resolved; the transport passes only the name
CALLER: ContextVar[str] = ContextVar("caller", default="")


class NotPublic(OSError):
    """A name with an address that is not public."""


class PublicNames:
    """Resolves names of servers that callers choose, and refuses those with an address that is not public.

    A name server may take half a minute, and a thread that resolves a name cannot be ended. So these lookups have their
    own threads, apart from those of the event loop, which resolve Bedrock's name. Their number is limited for all
    callers and for each caller. The process does not wait for them when it ends.
    """

    def __init__(self) -> None:
        self._of_all = asyncio.Semaphore(_MAX_LOOKUPS)
        self._of_each: defaultdict[str, asyncio.Semaphore] = defaultdict(
            partial(asyncio.Semaphore, _MAX_LOOKUPS_OF_A_CALLER)
        )
        self._lookups: dict[tuple[str, int], asyncio.Future[Addresses]] = {}

    async def resolve(self, host: str, port: int) -> Addresses:
        """Return the addresses of a name.

        Raises:
            NotPublic: an address is not public. OSError: the name has no address.
        """
        found = _literal_address(host, port) or await self._look_up(host, port)
        if not all(is_public(address[4][0]) for address in found):
            raise NotPublic(socket.EAI_NONAME, "not a public address")
        return found

    async def _look_up(self, host: str, port: int) -> Addresses:
        answer = self._lookups.get((host, port)) or await self._begin(host, port)
        await asyncio.wait({answer})
        return answer.result()

    async def _begin(self, host: str, port: int) -> "asyncio.Future[Addresses]":
        with contextlib.ExitStack() as permits:
            for permit in (self._of_each[CALLER.get()], self._of_all):
                await permit.acquire()
                permits.callback(permit.release)
            # another caller may have begun the same lookup meanwhile
            return self._lookups.get((host, port)) or self._start_thread(host, port, permits.pop_all().close)

    def _start_thread(self, host: str, port: int, release: Callable[[], None]) -> "asyncio.Future[Addresses]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Addresses] = loop.create_future()
        self._lookups[host, port] = answer

        def look_up() -> None:
            found: Addresses | OSError
            try:
                found = [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
            except Exception as error:  # noqa: BLE001 -- callers wait for an outcome
                found = OSError(str(error))
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, found)

        def settle(found: Addresses | OSError) -> None:
            release()
            del self._lookups[host, port]
            if isinstance(found, OSError):
                answer.set_exception(found)
                answer.exception()  # retrieved, so that asyncio does not log it
            else:
                answer.set_result(found)

        try:
            threading.Thread(target=look_up, name="name-lookup", daemon=True).start()
        except RuntimeError:
            settle(OSError("no thread can be started"))
        return answer


def public_transport(seconds: float, ca_bundle: Path | None = None) -> Http1Transport:
    """Return a transport that connects to public addresses only. seconds: the timeout of each step.

    It keeps no idle connections: callers choose the servers, and could use up the process's open files.
    """
    return Http1Transport(seconds, seconds, ca_bundle, PublicNames().resolve, uses_proxies=False, keeps_idle=False)


def _literal_address(host: str, port: int) -> Addresses:
    """Return the address that a host is; empty for a name."""
    try:
        return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]
    except (OSError, UnicodeError):
        return []
