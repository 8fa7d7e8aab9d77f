"""Tells addresses of the public Internet from all others, by tables that do not depend on the version of Python.

Sources: the IANA special-purpose address registries for IPv4 and IPv6, of 2026-10. IPv6 is a list of what is allowed:
only 2000::/3 is allocated to the public Internet.
"""

import ipaddress

_NOT_PUBLIC_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# IETF protocol assignments (Teredo, ORCHID, benchmarking, documentation) within it
_NOT_PUBLIC_V6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")


def is_public(address: str) -> bool:
    """True if an IP address is one of the public Internet; an IPv4 address within an IPv6 one is judged itself."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        embedded = _embedded_v4(found)
        if embedded is None:
            return found in _PUBLIC_V6 and not any(found in network for network in _NOT_PUBLIC_V6)
        found = embedded
    return not any(found in network for network in _NOT_PUBLIC_V4)


def _embedded_v4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    if address in _SIX_TO_FOUR:
        return ipaddress.IPv4Address(address.packed[2:6])
    return address.ipv4_mapped
