"""Listening sockets: how they are bound, shared by processes, and closed without resetting connections."""

import contextlib
import socket
import sys

_SO_BINDTOIFINDEX = 62
# an interface index that no interface has; Linux does not check that it exists
_NO_INTERFACE = 2**31 - 1


def bind(address: tuple[str, int], family: socket.AddressFamily, *, is_shared: bool = False) -> socket.socket:
    """Bind a socket to an address. Until it listens, connections are refused.

    Args:
        is_shared: several sockets may listen at the address; the kernel spreads connections over them.

    Raises:
        OSError: the address is taken by a socket that is not shared, or may not be bound.
    """
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


class PortReservation(socket.socket):
    """Keeps an address bound for the listeners of worker processes. It never listens itself.

    On Linux it also binds an abstract Unix socket named after the address: a second gateway, whose sockets could share
    the address, fails to bind that name.
    """

    _name: socket.socket | None = None

    def bind_name(self) -> None:
        """Bind the name. Raises OSError if it is taken."""
        if sys.platform == "linux":
            self._name = socket.socket(socket.AF_UNIX)
            self._name.bind(f"\0outcrop {self.getsockname()[:2]}")

    def close(self) -> None:
        """Release the address and the name."""
        super().close()
        if self._name is not None:
            self._name.close()


def reserve_port(address: tuple[str, int], family: socket.AddressFamily) -> PortReservation:
    """Reserve an address for several listeners. Raises OSError as `bind` does, or if it is reserved."""
    with bind(address, family) as first:
        reservation = PortReservation(fileno=first.detach())
    try:
        reservation.bind_name()
        # after the bind, which would otherwise succeed beside other sockets that share the address
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        reservation.close()
        raise
    return reservation


def refuse_new_connections(listener: socket.socket) -> bool:
    """Have the kernel refuse new TCP handshakes, while those that have begun go on; False if it cannot.

    A listener that is bound to an interface that does not exist gets no new handshakes. If another listener at the same
    address still accepts connections, this must not be used: the kernel would drop connections that it assigned here.
    """
    with contextlib.suppress(OSError):
        if sys.platform == "linux":
            # binding it a second time would take a privilege
            if listener.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX) != _NO_INTERFACE:
                listener.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NO_INTERFACE)
            return True
    return False


def accept_pending(listener: socket.socket) -> list[socket.socket]:
    """Accept every established connection of a listener, without waiting for more."""
    accepted = []
    with contextlib.suppress(OSError):  # BlockingIOError: no connection is left
        listener.setblocking(False)
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            accepted.append(connection)
    return accepted
