import pytest

from app.governance.identity.failed_attempts import FailedAttempts, network_of


def test_twenty_failures_at_once_then_one_each_second() -> None:
    now = 100.0
    attempts = FailedAttempts(lambda: now)
    assert [attempts.note("192.0.2.1") for _ in range(20)] == [0.0] * 20
    assert attempts.note("192.0.2.1") == pytest.approx(1.0)
    assert attempts.note("192.0.2.1") == pytest.approx(1.0), "a refusal does not prolong the wait"
    now += 1.0
    assert attempts.note("192.0.2.1") == 0.0
    assert attempts.note("192.0.2.1") > 0.0


def test_the_wait_is_known_before_an_attempt() -> None:
    now = 100.0
    attempts = FailedAttempts(lambda: now)
    for _ in range(20):
        assert attempts.wait("192.0.2.1") == 0.0
        attempts.note("192.0.2.1")
    assert attempts.wait("192.0.2.1") == pytest.approx(1.0)
    assert attempts.wait("192.0.2.2") == 0.0
    now += 1.0
    assert attempts.wait("192.0.2.1") == 0.0


def test_addresses_are_counted_apart() -> None:
    attempts = FailedAttempts(lambda: 0.0)
    for _ in range(30):
        attempts.note("192.0.2.1")
    assert attempts.note("192.0.2.2") == 0.0


def test_memory_is_bounded() -> None:
    attempts = FailedAttempts(lambda: 0.0)
    for _ in range(30):
        attempts.note("192.0.2.1")
    for number in range(10_000):
        attempts.note(f"host-{number}")
    assert attempts.note("192.0.2.1") == 0.0, "the least recent address was forgotten"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense:", "nonsense:"),
        ("", ""),
    ],
)
def test_one_host_s_addresses_are_one_network(address: str, network: str) -> None:
    assert network_of(address) == network
