"""Sockets that listen, and how they end without anybody being reset who believed to be connected."""

import contextlib
import socket
import sys

_SO_BINDTOIFINDEX = 62
# Linux asks nobody whether there is an interface of this number
_NOWHERE = 2**31 - 1


def bound(address: tuple[str, int], family: socket.AddressFamily, *, is_shared: bool = False) -> socket.socket:
    """A socket at an address, where nobody is taken before it listens: who comes earlier is refused, and not kept
    waiting, nor reset if the start ends there.

    Args:
        is_shared: several may listen there, among whom the system divides who comes.

    Raises:
        OSError: somebody listens there, who does not share, or nobody may.
    """
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


class PortReservation(socket.socket):
    """Holds an address for several, and never listens itself; on Linux under a name that nobody else can have too."""

    name: socket.socket | None = None

    def take_name(self) -> None:
        """Take the name. Raises OSError where somebody has it."""
        if sys.platform == "linux":
            self.name = socket.socket(socket.AF_UNIX)
            self.name.bind(f"\0outcrop {self.getsockname()[:2]}")

    def close(self) -> None:
        """Give up the address, and the name."""
        super().close()
        if self.name is not None:
            self.name.close()


def held(address: tuple[str, int], family: socket.AddressFamily) -> PortReservation:
    """The holder of an address. Raises as `bound` does."""
    with bound(address, family) as first:
        reservation = PortReservation(fileno=first.detach())
    try:
        reservation.take_name()
        # behind the bind, which would let it in beside others who share
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        reservation.close()
        raise
    return reservation


def shut(listener: socket.socket) -> bool:
    """Have every handshake that begins refused, as where nobody listens, while those that have begun go on.

    So it is for a listener that is bound to an interface which there is not; but beside one that is still open, the
    system forgets who is sent to it. False where the system cannot do so.
    """
    with contextlib.suppress(OSError):
        if sys.platform == "linux":
            # to bind it again takes a privilege
            if listener.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX) != _NOWHERE:
                listener.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NOWHERE)
            return True
    return False


def accepted(listener: socket.socket) -> list[socket.socket]:
    """Everybody who has connected to a listener and has not been let in."""
    found = []
    with contextlib.suppress(OSError):  # BlockingIOError: nobody is left
        listener.setblocking(False)
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            found.append(connection)
    return found
