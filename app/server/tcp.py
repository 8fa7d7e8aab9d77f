"""What the system knows of a TCP connection."""

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
    """Whatever stands for a socket of the system."""

    def fileno(self) -> int:
        """Its number."""
        ...


class Taken(Struct, frozen=True):
    """How far the other side of a connection has come: bytes that it has taken, and whether there are more for it."""

    count: int
    is_behind: bool


def has_unread(connection: Descriptor) -> bool:
    """True if the other side has said something that has not been read yet; False where the system does not tell."""
    told = array("i", [0])
    try:
        fcntl.ioctl(connection.fileno(), termios.FIONREAD, told)
    except (AttributeError, OSError, ValueError):
        return False
    return told[0] > 0


def say_no_more(connection: Descriptor) -> None:
    """Tell the other side at once that nothing more is said here, though it may be."""
    with contextlib.suppress(AttributeError, OSError), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_WR)


def taken_of(connection: Descriptor) -> Taken | None:
    """How far the other side has come; None where the system does not tell."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            told = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        unacknowledged, acknowledged, unsent = _INFO.unpack(told)
    except (AttributeError, OSError, struct.error):
        return None
    return Taken(acknowledged, bool(unacknowledged or unsent))
