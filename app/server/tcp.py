"""Queries and changes the state of a TCP connection in the kernel."""

import contextlib
import fcntl
import os
import socket
import struct
import termios
from array import array
from typing import Protocol

from msgspec import Struct

# tcpi_unacked, tcpi_bytes_acked and tcpi_notsent_bytes of linux/tcp.h, since Linux 4.6
_INFO = struct.Struct("=24xI92xQ16xI")


class Descriptor(Protocol):
    """An object with the file descriptor of a socket."""

    def fileno(self) -> int:
        """Return the file descriptor."""
        ...


class Delivery(Struct, frozen=True):
    """What the peer has acknowledged: the number of bytes, and whether the kernel holds bytes that it has not."""

    count: int
    is_pending: bool


def has_unread(connection: Descriptor) -> bool:
    """Return whether bytes have arrived that were not read yet; False if the system does not report it."""
    unread = array("i", [0])
    try:
        fcntl.ioctl(connection.fileno(), termios.FIONREAD, unread)
    except (AttributeError, OSError, ValueError):
        return False
    return unread[0] > 0


def shut_down_writing(connection: Descriptor) -> None:
    """Send the end of the stream at once; the connection can still be read."""
    with contextlib.suppress(AttributeError, OSError), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_WR)


def delivery_of(connection: Descriptor) -> Delivery | None:
    """Return what the peer has acknowledged; None if the system does not report it."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            info = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        unacknowledged, acknowledged, unsent = _INFO.unpack(info)
    except (AttributeError, OSError, struct.error):
        return None
    return Delivery(acknowledged, bool(unacknowledged or unsent))
