"""The signer equals botocore's, byte for byte."""

import datetime
from unittest import mock
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from app.bedrock import signing
from app.bedrock.credentials import BearerToken, Credentials
from app.bedrock.signing import Signer, SigningTarget
from app.wire.sigv4 import spelt_as_signed

MOMENT = datetime.datetime(2026, 11, 24, 13, 37, 28, tzinfo=datetime.UTC)
MODELS = [
    "amazon.nova-lite-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
]
segments = st.one_of(
    st.sampled_from(MODELS).map(lambda model: quote(model, safe="")),
    st.sampled_from(MODELS),
    st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=12).map(
        lambda text: quote(text, safe="")
    ),
    st.sampled_from(["..", ".", "a b".replace(" ", "%20"), "~x", "%C3%BC"]),
)
paths = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
names = st.sampled_from(["content-type", "accept", "x-amzn-bedrock-trace", "x-other"])
values = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
headers = st.dictionaries(names, values.map(lambda text: text), max_size=3)
queries = st.lists(
    st.tuples(st.sampled_from(["maxResults", "nextToken", "type", "byProvider"]), st.text("abcXYZ019-_.", max_size=8)),
    max_size=3,
    unique_by=lambda pair: pair[0],
)
secrets = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789+/", min_size=20, max_size=40)


@given(
    paths,
    queries,
    headers,
    st.binary(max_size=100),
    secrets,
    st.none() | st.just("a-session/token=="),
    st.sampled_from(["GET", "POST"]),
)
def test_signature_equals_botocore(
    path: str,
    query: list[tuple[str, str]],
    given_headers: dict[str, str],
    body: bytes,
    secret: str,
    token: str | None,
    method: str,
) -> None:
    raw_query = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
    signer = Signer("us-east-1", clock=MOMENT.timestamp)
    target = SigningTarget(method, "host.example:8443", path, raw_query, tuple(given_headers.items()))
    identity = Credentials("AKIDEXAMPLE", secret, token)
    signer.sign(identity, target, b"another body")
    signed = signer.sign(identity, target, body)
    assert dict(signed)["authorization"] == by_botocore(method, path, raw_query, given_headers, body, secret, token)


def by_botocore(
    method: str, path: str, query: str, given_headers: dict[str, str], body: bytes, secret: str, token: str | None
) -> str:
    url = f"https://host.example:8443{path}"
    request = AWSRequest(method=method, url=url, headers=given_headers, data=body)
    request.params = dict(parse_qsl(query, keep_blank_values=True))
    request.headers["host"] = "host.example:8443"
    credentials = BotocoreCredentials("AKIDEXAMPLE", secret, token)
    with mock.patch("botocore.auth.get_current_datetime", return_value=MOMENT.replace(tzinfo=None)):
        SigV4Auth(credentials, "bedrock", "us-east-1").add_auth(request)
    return str(request.headers["Authorization"])


def test_session_token_is_sent_and_signing_key_changes_with_the_day() -> None:
    now = MOMENT.timestamp()
    signer = Signer("us-east-1", clock=lambda: now)
    identity = Credentials("AKIDEXAMPLE", "secret", "token")
    first = dict(signer.sign(identity, SigningTarget("POST", "h", "/p"), b""))
    assert first["x-amz-security-token"] == "token"
    now += 86_400
    second = dict(signer.sign(identity, SigningTarget("POST", "h", "/p"), b""))
    assert "20261124" in first["authorization"]
    assert "20261125" in second["authorization"]
    assert second["authorization"][-64:] != first["authorization"][-64:]


def test_bearer_token_is_sent_instead_of_a_signature() -> None:
    target = SigningTarget("POST", "h", "/p", headers=(("accept", "x"),))
    signed = Signer("us-east-1").sign(BearerToken("abc"), target, b"")
    assert signed == [("accept", "x"), ("authorization", "Bearer abc")]


def test_templates_follow_identity_and_target_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_MAX_TEMPLATES", 2)
    signer = Signer("us-east-1", clock=MOMENT.timestamp)
    identities = [Credentials("AKIDEXAMPLE", "secret"), Credentials("AKIDOTHER", "another", "token")]
    targets = [SigningTarget("POST", "host.example:8443", f"/{name}") for name in ("a", "b", "c", "d" * 4096)]
    for identity in [*identities, identities[0]]:
        for target in [*targets, *targets]:
            signed = dict(signer.sign(identity, target, b"body"))["authorization"]
            assert (
                signed
                == dict(Signer("us-east-1", clock=MOMENT.timestamp).sign(identity, target, b"body"))["authorization"]
            )
            assert len(signer._day.templates) <= 2


@given(
    st.lists(st.tuples(st.text("aé/+ =&%~!", min_size=1, max_size=4), st.text("bé/+ =&%~!", max_size=6)), max_size=3)
)
def test_query_in_canonical_spelling_has_the_same_parameters(pairs: list[tuple[str, str]]) -> None:
    raw = "&".join(f"{quote_plus(name)}={quote_plus(value).lower()}" for name, value in pairs)
    assert parse_qsl(spelt_as_signed(raw), keep_blank_values=True) == parse_qsl(raw, keep_blank_values=True)
    assert spelt_as_signed(raw) == "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs
    )
