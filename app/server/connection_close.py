"""Closes connections without losing what was written."""

import asyncio

from app.server.tcp import Delivery, delivery_of, has_unread, shut_down_writing

_FIRST_POLL_SECONDS, _MAX_POLL_SECONDS = 0.01, 1.0


class ConnectionClose:
    """Closes one connection once its peer has received everything that was written.

    has_begun: the connection is being closed; nothing more is written.

    Args:
        abort_seconds: after a close over TLS, the peer has so long to answer it.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, abort_seconds: float) -> None:
        self._transport = transport
        self._loop = loop
        self._abort_seconds = abort_seconds
        self.is_tls = transport.get_extra_info("sslcontext") is not None
        self.has_begun = False

    def begin(self) -> None:
        """Close the connection.

        Over TLS, `Transport.close` would wait half a minute for the data and again for the peer's close_notify, which a
        peer that no longer uses the connection does not send.
        """
        self.has_begun = True
        if self.is_tls:
            self._close_when_delivered(-1, _FIRST_POLL_SECONDS)
        else:
            self._transport.close()

    @property
    def is_closing(self) -> bool:
        """True if nothing more is written."""
        return self.has_begun or self._transport.is_closing()

    def delivery(self) -> Delivery | None:
        """Return what the peer has acknowledged, or None if that is unknown."""
        try:
            return delivery_of(self._transport.get_extra_info("socket"))
        except AttributeError:  # asyncio's transport of TLS, after it was closed
            return None

    def has_unread(self) -> bool:
        """Return whether the kernel holds data that was not read yet: it may be a request."""
        return has_unread(self._transport.get_extra_info("socket"))

    def begin_at_once(self) -> None:
        """Close an idle connection, and inform the peer now: `Transport.close` would in the loop's next iteration."""
        if not self.is_tls and not self._transport.get_write_buffer_size():
            shut_down_writing(self._transport.get_extra_info("socket"))
        self.begin()

    def _close_when_delivered(self, count: int, pause: float) -> None:
        """Poll until the peer has acknowledged everything since the last poll, of `count` bytes.

        One poll is not enough: what TLS still holds reaches the kernel in the next iteration of the event loop.
        """
        delivery = self.delivery()
        if delivery is None or (delivery.count == count and not delivery.is_pending):
            self._transport.close()
            self._loop.call_later(self._abort_seconds, self._transport.abort)
        else:
            next_pause = min(2 * pause, _MAX_POLL_SECONDS)
            self._loop.call_later(pause, self._close_when_delivered, delivery.count, next_pause)
