"""Limits how many requests one client address may have in progress, where callers are not verified yet."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import GatewayBusy
from app.governance.identity.failed_attempts import network_of


class AddressPermits:
    """Gives each address a number of permits. An address that is unknown, as of a Unix socket, is not limited."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()

    @contextmanager
    def permit(self, address: str) -> Iterator[None]:
        """Hold a permit of an address. Raises GatewayBusy: all of them are held."""
        network = network_of(address)
        if network and self._held[network] >= self._limit:
            raise GatewayBusy(
                "the gateway is busy: try again in a moment", detail="too many unverified requests of one address"
            )
        self._held[network] += 1
        try:
            yield
        finally:
            self._held[network] -= 1
            if not self._held[network]:
                del self._held[network]
