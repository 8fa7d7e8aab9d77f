"""Decides whose requests are served without a key, where AUTH_DISABLED asks for that."""

import ipaddress
from urllib.parse import urlsplit

from msgspec import Struct

from app.errors import PermissionRefused
from app.server.request_head import RequestHead

# set by proxies: the client may be anywhere
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class OpenAccess(Struct, frozen=True):
    """Serves requests without a key. from_anywhere: not only those of clients on this machine."""

    from_anywhere: bool = False

    def check(self, head: RequestHead, client: str) -> None:
        """Check that a request may be served.

        Args:
            client: the address of the client; empty for a Unix socket.

        Raises:
            PermissionRefused: a page of another site sent the request, or the client is not on this machine.
        """
        host = head.headers.get("host", "")
        origin = head.headers.get("origin", "")
        is_foreign = bool(origin) and urlsplit(origin).netloc.lower() != host.lower()
        if is_foreign or head.headers.get("sec-fetch-site") == "cross-site":
            raise PermissionRefused("AUTH_DISABLED serves no requests that pages of other sites send")
        if self.from_anywhere:
            return
        if not is_loopback(client) or any(name in head.headers for name in FORWARDED):
            raise PermissionRefused("AUTH_DISABLED=true serves clients on this machine only: set keys in API_KEYS")
        # a page of another site may have had its own name resolved to this machine
        if host and not _names_this_machine(host):
            raise PermissionRefused("AUTH_DISABLED=true serves requests to localhost only: set keys in API_KEYS")


def is_loopback(address: str) -> bool:
    """Return whether an address is this machine's own. A Unix socket has none."""
    try:
        parsed = ipaddress.ip_address(address) if address else None
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed is None or parsed.is_loopback or (mapped is not None and mapped.is_loopback)


def _names_this_machine(host: str) -> bool:
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    return name == "localhost" or name.endswith(".localhost") or (bool(name) and is_loopback(name))
