"""Client certificates that a proxy reports."""

from typing import Any

import pytest

from app.config.identity_tables import MtlsRow
from app.errors import AuthenticationFailed, PermissionRefused
from app.governance.identity.claim_rules import Identity
from app.governance.identity.proxy_certificate import ProxyCertificates
from app.server.client_address import TrustedProxies

PROXY = "10.0.0.1"
RULES = [
    {"match": {"O": "Example", "CN": "svc-*"}, "team": "services"},
    {"match": {"URI": "spiffe://example.com/ns/ml/*"}, "team": "ml"},
]


def find(
    *values: str, form: str = "subject", peer: str | None = PROXY, trusted: str = "10.0.0.0/24", name: str = "x-client"
) -> Identity | None:
    row = MtlsRow.model_validate({"header": "x-client", "format": form, "rules": RULES})
    headers = [(name.encode(), value.encode()) for value in values]
    scope: dict[str, Any] = {"client": (peer, 5000) if peer is not None else None, "headers": headers}
    return ProxyCertificates(row, TrustedProxies(trusted)).find(scope)


@pytest.mark.parametrize(
    ("subject", "person"),
    [
        ("CN=svc-billing,O=Example", "svc-billing"),
        ("O=Example,CN=svc-billing", "svc-billing"),
        ("CN=svc-client_.com,OU=client-3,O=Example,ST=Washington,C=US", "svc-client_.com"),
        ("CN=svc-a+OU=x,O=Example,C=US", "svc-a"),
        ("CN=svc-\\C3\\BC\\, b,O=Example", "svc-ü, b"),
        ("emailAddress=a@example.com,CN=svc-b,O=Example,serialNumber=7", "svc-b"),
    ],
)
def test_a_subject_gives_a_team(subject: str, person: str) -> None:
    found = find(subject)
    assert found is not None
    assert (found.team, found.person) == ("services", person)


@pytest.mark.parametrize(
    ("element", "team"),
    [
        ("By=spiffe://a;Hash=0f;URI=spiffe://example.com/ns/ml/sa/train", "ml"),
        ('Hash=0f;Subject="CN=svc-a,O=Example";URI=spiffe://other/x', "services"),
        ('Hash=0f;Subject="CN=svc-a\\",O=Example"', ""),
        ("URI=spiffe://example.com/ns/ml/evil,URI=spiffe://example.com/ns/web/x", ""),
        ("URI=spiffe://example.com/ns/web/x,URI=spiffe://example.com/ns/ml/good", "ml"),
        ('Subject="O=a,URI=spiffe://example.com/ns/ml/forged";Hash=0f', ""),
    ],
)
def test_the_last_element_of_envoy_counts(element: str, team: str) -> None:
    if team:
        found = find(element, form="xfcc")
        assert found is not None
        assert found.team == team
        return
    with pytest.raises((AuthenticationFailed, PermissionRefused)):
        find(element, form="xfcc")


@pytest.mark.parametrize("peer", ["10.0.1.1", "203.0.113.9", "::1", "127.0.0.1", "", None])
def test_the_header_of_anybody_else_does_not_count(peer: str | None) -> None:
    """Who reaches the port without the proxy could write any name into the header."""
    assert find("CN=svc-billing,O=Example", peer=peer) is None
    assert find("CN=svc-billing,O=Example", trusted="*") is None


def test_without_the_header_there_is_no_certificate() -> None:
    assert find() is None
    assert find("") is None
    assert find("CN=svc-billing,O=Example", name="x-client-2") is None


def test_a_header_that_is_there_twice_is_refused() -> None:
    """A proxy that appends to what the client sent would let it choose its name."""
    with pytest.raises(AuthenticationFailed, match="twice"):
        find("CN=svc-forged,O=Example", "CN=web,O=Example")


@pytest.mark.parametrize(
    "text",
    ["CN", "CN=svc-a, O=Example", "/O=Example/CN=svc-a", "X=1", "CN=svc-a,,O=Example", "CN=" + "x" * 9000, "CN=\\zz"],
)
def test_a_header_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(AuthenticationFailed, match="cannot be read"):
        find(text)


@pytest.mark.parametrize("text", ["", "Hash=0f", 'Subject="CN=svc-a', "novalue", "a=1;b"])
def test_an_element_that_cannot_be_read_is_refused(text: str) -> None:
    if text:
        with pytest.raises(AuthenticationFailed, match="cannot be read"):
            find(text, form="xfcc")


@pytest.mark.parametrize("subject", ["CN=web,O=Example", "CN=svc-a,O=Other", "CN=a\\,O=Example\\,CN=svc-a,O=Other"])
def test_a_subject_that_no_rule_names_is_refused(subject: str) -> None:
    with pytest.raises(PermissionRefused):
        find(subject)


def test_a_rule_must_match_something() -> None:
    with pytest.raises(ValueError, match="must match"):
        MtlsRow.model_validate({"header": "x", "format": "subject", "rules": [{"match": {}, "team": "t"}]})
