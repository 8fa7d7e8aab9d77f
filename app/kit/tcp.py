"""What the system knows of a TCP connection."""

import os
import socket
import struct
from typing import Protocol

from app.kit.values import Struct

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


def taken_of(connection: Descriptor) -> Taken | None:
    """How far the other side has come; None where the system does not tell."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            told = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        unacknowledged, acknowledged, unsent = _INFO.unpack(told)
    except (AttributeError, OSError, struct.error):
        return None
    return Taken(acknowledged, bool(unacknowledged or unsent))
