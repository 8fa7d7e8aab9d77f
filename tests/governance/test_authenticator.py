"""Authentication by bearer keys, x-api-key, and signatures made by botocore."""

import datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.errors import AuthenticationFailed, PermissionRefused, SignatureRefused
from app.governance.identity.authenticator import Authenticator, SignedClaim
from app.governance.identity.caller import ANONYMOUS, Caller
from app.governance.identity.open_access import OpenAccess
from app.server.request_head import RequestHead

KEYS = {"team": ("s3cret",), "other": ("an0ther",)}
NOW = datetime.datetime(2026, 11, 24, 12, 0, 0, tzinfo=datetime.UTC)
PATH = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x/converse"


def head(**headers: str) -> RequestHead:
    return RequestHead("POST", PATH, "", {name.replace("_", "-"): value for name, value in headers.items()})


def authenticator(skew: float = 0) -> Authenticator:
    return Authenticator(KEYS, regions=["eu-central-1"], clock=lambda: NOW.timestamp() + skew)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer s3cret"},
        {"authorization": "bearer  s3cret"},
        {"x_api_key": "s3cret"},
        {"x_api_key": "s3cret", "authorization": "Bearer s3cret"},
        {"x_api_key": "s3cret", "authorization": "Basic abc"},
    ],
)
def test_a_key_identifies_its_caller(headers: dict[str, str]) -> None:
    assert authenticator().authenticate(head(**headers)) == Caller("team")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "no API key"),
        ({"authorization": "Bearer"}, "no API key"),
        ({"authorization": "Basic czNjcmV0"}, "no API key"),
        ({"authorization": "Bearer wrong"}, "incorrect"),
        ({"authorization": "Bearer \udcff"}, "incorrect"),
        ({"authorization": "Bearer s3cret2"}, "incorrect"),
        ({"authorization": "Bearer s3cret", "x_api_key": "an0ther"}, "disagree"),
        ({"authorization": "AWS4-HMAC-SHA256 nonsense"}, "not a SigV4"),
    ],
)
def test_other_credentials_are_refused(headers: dict[str, str], words: str) -> None:
    with pytest.raises(AuthenticationFailed, match=words):
        authenticator().authenticate(head(**headers))


def test_disabled_authentication_accepts_every_request() -> None:
    for client in ("", "127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert Authenticator({}, open_access=OpenAccess()).authenticate(head(), client) == ANONYMOUS
    assert Authenticator({}, open_access=OpenAccess(from_anywhere=True)).authenticate(head(), "10.0.0.1") == ANONYMOUS


def opened(**headers: str) -> RequestHead:
    fields = {"host": "localhost:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return RequestHead("POST", "/v1/messages", "", fields)


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("10.0.0.1", {}),
        ("2001:db8::1", {}),
        ("127.0.0.1", {"x_forwarded_for": "203.0.113.1"}),
        ("127.0.0.1", {"host": "evil.test:8000", "origin": "http://evil.test:8000"}),
        ("127.0.0.1", {"host": "evil.test:8000"}),
    ],
)
def test_disabled_authentication_serves_this_machine_only(client: str, headers: dict[str, str]) -> None:
    """Findings, Low: AUTH_DISABLED served everyone, and names that a page had resolved to this machine."""
    with pytest.raises(PermissionRefused):
        Authenticator({}, open_access=OpenAccess()).authenticate(opened(**headers), client)
    Authenticator({}, open_access=OpenAccess(from_anywhere=True)).authenticate(opened(**headers), client)


@pytest.mark.parametrize("from_anywhere", [False, True])
@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.test"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}],
)
def test_disabled_authentication_serves_no_other_sites(from_anywhere: bool, headers: dict[str, str]) -> None:
    """Findings, Low: with AUTH_DISABLED, a POST from a page of another site was served."""
    gate = Authenticator({}, open_access=OpenAccess(from_anywhere=from_anywhere))
    with pytest.raises(PermissionRefused, match="other sites"):
        gate.authenticate(opened(**headers), "127.0.0.1")
    assert gate.authenticate(opened(origin="http://localhost:8000", sec_fetch_site="same-origin"), "::1") == ANONYMOUS


def signed(
    body: bytes = b"{}",
    name: str = "team",
    secret: str = "s3cret",
    query: str = "",
    service: str = "bedrock",
    extra: dict[str, str] | None = None,
) -> RequestHead:
    request = AWSRequest(
        "POST",
        f"http://gw.example:8000{PATH}",
        headers={"content-type": "application/json", **(extra or {})},
        data=body,
    )
    request.params = dict(pair.split("=") for pair in query.split("&") if pair)
    request.headers["host"] = "gw.example:8000"
    from unittest import mock

    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        SigV4Auth(Credentials(name, secret), service, "eu-central-1").add_auth(request)
    return RequestHead("POST", PATH, query, {key.lower(): value for key, value in request.headers.items()})


def claim(request: RequestHead, skew: float = 0) -> SignedClaim:
    found = authenticator(skew).authenticate(request)
    assert isinstance(found, SignedClaim)
    return found


@pytest.mark.parametrize("query", ["", "b=2&a=1"])
def test_botocore_s_signature_is_verified_over_the_body(query: str) -> None:
    assert claim(signed(b"body", query=query)).verify(b"body") == Caller("team")
    with pytest.raises(SignatureRefused, match="is wrong"):
        claim(signed(b"body", query=query)).verify(b"other")


def test_a_wrong_secret_is_refused() -> None:
    with pytest.raises(SignatureRefused):
        claim(signed(secret="guess")).verify(b"{}")


def test_an_unknown_access_key_gets_the_answer_of_a_wrong_signature() -> None:
    with pytest.raises(SignatureRefused) as unknown:
        authenticator().authenticate(signed(name="nobody"))
    with pytest.raises(SignatureRefused) as wrong:
        claim(signed(secret="guess")).verify(b"{}")
    assert (unknown.value.kind, unknown.value.message) == (wrong.value.kind, wrong.value.message)


def test_each_secret_of_a_name_authenticates_its_caller() -> None:
    rotating = Authenticator({"team": ("old", "s3cret")}, regions=["eu-central-1"], clock=NOW.timestamp)
    for secret in ("old", "s3cret"):
        assert rotating.authenticate(head(x_api_key=secret)) == Caller("team")
        found = rotating.authenticate(signed(secret=secret))
        assert isinstance(found, SignedClaim)
        assert found.verify(b"{}") == Caller("team")


def test_a_signature_for_another_service_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="for the service s3"):
        authenticator().authenticate(signed(service="s3"))


@pytest.mark.parametrize("name", ["team", "nobody"])
def test_a_signature_for_a_region_that_is_not_served_is_refused(name: str) -> None:
    """Before the body is read, and with the same answer whether the name is known."""
    gate = Authenticator(KEYS, regions=["us-east-1", "eu-west-1"], clock=NOW.timestamp)
    with pytest.raises(SignatureRefused, match="for the region eu-central-1: set eu-west-1 or us-east-1 in the client"):
        gate.authenticate(signed(name=name))


@pytest.mark.parametrize("name", ["x-amz-security-token", "x-amzn-bedrock-guardrailidentifier"])
def test_a_signature_must_cover_the_headers_that_change_a_request(name: str) -> None:
    assert claim(signed(extra={name: "v"})).verify(b"{}") == Caller("team")
    uncovered = signed()
    uncovered.headers[name] = "v"
    with pytest.raises(SignatureRefused, match=f"must cover the header {name}"):
        authenticator().authenticate(uncovered)


def test_headers_that_proxies_add_need_no_signature() -> None:
    passed = signed()
    passed.headers.update({"x-amzn-trace-id": "Root=1", "x-amz-cf-id": "x"})
    assert claim(passed).verify(b"{}") == Caller("team")


@pytest.mark.parametrize("skew", [301, -301])
def test_a_signature_expires_after_five_minutes(skew: float) -> None:
    with pytest.raises(SignatureRefused, match="expired"):
        authenticator(skew).authenticate(signed())
    assert claim(signed(), skew / abs(skew) * 299).verify(b"{}") == Caller("team")


def test_the_payload_hash_must_match_the_body() -> None:
    with pytest.raises(SignatureRefused, match="content-sha256"):
        claim(signed(extra={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})).verify(b"{}")


def replaced(request: RequestHead, name: str, change: Any) -> RequestHead:
    headers = {**request.headers, name: change(request.headers[name])}
    return RequestHead(request.method, request.path, request.query, headers)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("x-amz-date", lambda _: "yesterday", "must be a time"),
        ("x-amz-date", lambda _: "20261123T235959Z", "date in the credential scope"),
        ("authorization", lambda value: value.replace(";host", ""), "must cover"),
    ],
)
def test_a_changed_head_is_refused(name: str, change: Any, words: str) -> None:
    with pytest.raises(SignatureRefused, match=words):
        authenticator().authenticate(replaced(signed(), name, change))


@pytest.mark.parametrize("part", ["path", "method", "query"])
def test_the_signature_covers_the_request_line(part: str) -> None:
    request = signed()
    changed = {"path": request.path, "method": request.method, "query": request.query, "headers": request.headers} | {
        part: "/x"
    }
    with pytest.raises(SignatureRefused):
        claim(RequestHead(**changed)).verify(b"{}")  # type: ignore[arg-type]
