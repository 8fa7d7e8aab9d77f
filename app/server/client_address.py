"""Finds the address of a client, which load balancers in front of the gateway add to `X-Forwarded-For`."""

import ipaddress
from collections.abc import Mapping
from typing import Any

_FORWARDED_FOR = b"x-forwarded-for"
EVERYONE = "*"


class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is used.

    Args:
        text: addresses and networks, separated by commas; empty for none; `*` for whoever connects, and none before.

    Raises:
        ValueError: an entry is neither an address nor a network, or it is every address.
    """

    def __init__(self, text: str = "") -> None:
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        self._trusts_last = entries == [EVERYONE]
        self._networks = [ipaddress.ip_network(entry, strict=False) for entry in entries if not self._trusts_last]
        if any(network.prefixlen == 0 for network in self._networks):
            raise ValueError(f"every address would be a proxy, and none a client: use {EVERYONE}")

    def client_of(self, scope: Mapping[str, Any]) -> str:
        """Return the client's address; empty if the server has none, as for a Unix socket.

        Each proxy appends the address that it saw. Read from the end, the first address that is not a trusted proxy's
        is the client's. If all are trusted, it is the last one, which the client cannot choose. So it is with `*`.
        """
        client = scope.get("client")
        peer: str = client[0] if client else ""
        if not self._trusts_last and not self._trusts(peer):
            return peer
        forwarded = b",".join(value for name, value in scope["headers"] if name == _FORWARDED_FOR).decode("latin-1")
        hops = [hop.strip() for hop in reversed(forwarded.split(",")) if hop.strip()]
        last = hops[0] if hops else peer
        return last if self._trusts_last else next((hop for hop in hops if not self._trusts(hop)), last)

    @property
    def is_everyone(self) -> bool:
        """True for `*`: no address is known to be a proxy's."""
        return self._trusts_last

    def is_sent_by_proxy(self, scope: Mapping[str, Any]) -> bool:
        """Return whether a request came over a connection from a proxy whose address is listed."""
        client = scope.get("client")
        return client is not None and self._trusts(client[0])

    def _trusts(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
