"""Limits how many authentications may fail from one address, so that keys cannot be guessed quickly.

Valid keys are not affected: callers behind the same address go on.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from app.errors import TooManyFailures

_BURST = 20
_SECONDS_EACH = 1.0
_MAX_ADDRESSES = 10_000


class FailedAttempts:
    """Counts failures by address: 20 at once, then one each second. An IPv6 network of 64 bits counts as one address.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # when all failures of an address will have been forgotten; the least recent first
        self._clear_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str) -> float:
        """Return the seconds until a failure of an address may be answered as such; 0.0 below the limit."""
        now = self._clock()
        clear_at = max(self._clear_at.get(network_of(address), now), now) + _SECONDS_EACH
        return max(clear_at - now - _BURST * _SECONDS_EACH, 0.0)

    def note(self, address: str) -> float:
        """Count one failure. Returns the seconds until the next may be answered as such; 0.0 below the limit."""
        now, network = self._clock(), network_of(address)
        clear_at = max(self._clear_at.pop(network, now), now) + _SECONDS_EACH
        wait = clear_at - now - _BURST * _SECONDS_EACH
        self._clear_at[network] = clear_at if wait <= 0 else clear_at - _SECONDS_EACH
        if len(self._clear_at) > _MAX_ADDRESSES:
            self._clear_at.popitem(last=False)
        return max(wait, 0.0)


def too_many_failures(wait: float, detail: str) -> TooManyFailures:
    """Return the error of an address that must wait. wait: in seconds."""
    message = "too many failed authentications from this address"
    return TooManyFailures(message, detail=detail, retry_after=wait, is_final=True)


def network_of(address: str) -> str:
    """Return what one host can choose addresses from: the address itself, or an IPv6 address's network of 64 bits."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((int(ipaddress.IPv6Address(address.partition("%")[0])) >> 64 << 64, 64)))
    except ValueError:
        return address
