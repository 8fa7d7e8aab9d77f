"""Aborts connections whose caller does not read its response."""

import asyncio
import logging

from app.server.connection_close import ConnectionClose
from app.server.tcp import Delivery

_log = logging.getLogger(__name__)


class UnreadResponseTimeout:
    """Aborts a connection on which the caller receives nothing for `seconds` while there is something to receive.

    The first interval may be twice as long. written: bytes of responses.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, close: ConnectionClose, seconds: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._close = close
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self.written = 0

    def start(self, received: int = -1) -> None:
        """Check after `seconds` whether more than `received` bytes were received, unless a check is due already."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._check, received)

    def cancel(self) -> None:
        """End the checks of a connection that was lost."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self, received: int) -> None:
        left, self._timer = self._transport.get_write_buffer_size(), None
        delivery = self._close.delivery() or Delivery(self.written - left, is_pending=False)
        if delivery.count == received:
            _log.info("aborted a connection: the response was not read", extra={"fields": {"bytes_left": left}})
            self._transport.abort()
        elif left or delivery.is_pending:
            self.start(delivery.count)
