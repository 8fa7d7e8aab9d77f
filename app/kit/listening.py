"""Listening sockets, and how they end without anybody being reset who believed to be connected."""

import contextlib
import socket
import sys

_SO_BINDTOIFINDEX = 62
# Linux asks nobody whether there is an interface of this number
_NOWHERE = 2**31 - 1


def held(address: tuple[str, int], family: socket.AddressFamily) -> socket.socket:
    """A port, held by a socket that takes nobody, so that several can listen there.

    It never listens: whoever had connected to it would be reset when it stops.

    Raises:
        OSError: somebody listens there, or nobody may.
    """
    holding = socket.socket(family)
    try:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holding.bind(address)
        # behind the bind, which would let it in beside others who share the port
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        holding.close()
        raise
    return holding


def shut(listener: socket.socket) -> bool:
    """Have every handshake that begins refused, as where nobody listens, while those that have begun go on.

    So it is for a listener that is bound to an interface which there is not. False where the system cannot do so.
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
