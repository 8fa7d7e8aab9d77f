import pytest

from app.server.client_address import TrustedProxies


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        pytest.param("", "10.0.0.1", ["203.0.113.9"], "10.0.0.1", id="off by default"),
        pytest.param("10.0.0.0/8", "192.0.2.7", ["203.0.113.9"], "192.0.2.7", id="the peer is not a proxy"),
        pytest.param("10.0.0.0/8", "10.0.0.1", ["203.0.113.9"], "203.0.113.9", id="one proxy"),
        pytest.param("10.0.0.0/8", "10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9", id="a forged first address"),
        pytest.param("10.0.0.0/8", "10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9", id="two proxies"),
        pytest.param("10.0.0.0/8", "10.0.0.1", ["203.0.113.9", "10.0.0.2"], "203.0.113.9", id="two headers"),
        pytest.param("10.0.0.0/8", "10.0.0.1", ["10.9.9.9, 10.1.1.1"], "10.1.1.1", id="a client within the networks"),
        pytest.param("10.0.0.1", "10.0.0.1", ["unknown"], "unknown", id="no address"),
        pytest.param("10.0.0.1", "10.0.0.1", [], "10.0.0.1", id="no header"),
        pytest.param("10.0.0.1, ::1", "::1", ["2001:db8::7"], "2001:db8::7", id="IPv6"),
        pytest.param("*", "10.0.0.1", ["203.0.113.9"], "203.0.113.9", id="everyone"),
        pytest.param("*", "10.0.0.1", ["1.1.1.1, 10.0.0.9"], "10.0.0.9", id="everyone, a forged first address"),
        pytest.param("*", "10.0.0.1", ["forged", "10.0.0.9"], "10.0.0.9", id="everyone, two headers"),
        pytest.param("*", "10.0.0.1", [], "10.0.0.1", id="everyone, no header"),
    ],
)
def test_the_address_of_the_client(trusted: str, peer: str, forwarded: list[str], client: str) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    assert TrustedProxies(trusted).client_of({"client": (peer, 1), "headers": headers}) == client


def test_a_unix_socket_has_no_address() -> None:
    assert TrustedProxies("10.0.0.0/8").client_of({"client": None, "headers": []}) == ""


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="somewhere"):
        TrustedProxies("somewhere")


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.0/8, ::/0"])
def test_a_network_of_all_addresses_is_refused(text: str) -> None:
    """A client could then choose its address: the first entry that is not an address would be taken."""
    with pytest.raises(ValueError, match=r"use \*"):
        TrustedProxies(text)
