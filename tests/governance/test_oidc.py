"""Tokens of OIDC issuers, which are real servers, with keys that rotate."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from app.bedrock.http1.transport import Http1Transport
from app.config.identity_tables import OidcRow
from app.errors import AuthenticationFailed, GatewayError, Overloaded, PermissionRefused
from app.governance.identity.claim_rules import Identity
from app.governance.identity.oidc import OidcVerifier
from app.governance.identity.verified_tokens import Verified, VerifiedTokens
from tests.governance.oidc_issuer import AUDIENCE, Issuer, jwk_of, new_key, running_issuer
from tests.waiting import until

pytestmark = pytest.mark.loopback

RULES = [{"match": {}, "team": "research"}]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def _issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(_issuer: Issuer) -> Issuer:
    """A fresh state of the one server."""
    url = _issuer.url
    _issuer.__init__()  # type: ignore[misc]
    _issuer.url = url
    return _issuer


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    transport = Http1Transport(2, 3)
    yield transport
    await transport.close()


def row_of(issuer: Issuer, **fields: Any) -> OidcRow:
    fields = {"rules": RULES, "algorithms": [issuer.algorithm], **fields}
    return OidcRow(name=fields.pop("name", "corp"), issuer=issuer.url, audiences=[AUDIENCE], **fields)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def verifier(issuer: Issuer, transport: Http1Transport, clock: Clock) -> AsyncIterator[OidcVerifier]:
    verifier = OidcVerifier([row_of(issuer)], transport, clock)
    yield verifier
    await verifier.close()


async def refusal(verifier: OidcVerifier, token: str) -> GatewayError:
    assert verifier.accepts(token)
    with pytest.raises(GatewayError) as caught:
        await verifier.verify(token)
    told = f"{caught.value.message} {caught.value.detail}"
    assert not any(part in told for part in token.split(".") if part)
    return caught.value


async def later_refusal(verifier: OidcVerifier, token: str) -> GatewayError:
    """Return why a token is refused, once it is: the keys are read in the background."""
    async with asyncio.timeout(30):
        while True:
            try:
                await verifier.verify(token)
            except GatewayError:
                return await refusal(verifier, token)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "EdDSA"])
async def test_a_token_of_each_kind_of_key_is_accepted(algorithm: str, transport: Http1Transport) -> None:
    with running_issuer(algorithm) as issuer:
        verifier = OidcVerifier([row_of(issuer)], transport)
        verified = await verifier.verify(issuer.token(exp=int(time.time()) + 100))
        assert verified.identity.name == "oidc/corp/alice"
        assert (verified.identity.team, verified.identity.person) == ("research", "alice")
        assert verified.ends_at == pytest.approx(time.time() + 130, abs=5)
        await verifier.close()


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"aud": "another"}, "audience"),
        ({"aud": ["another", "outcrop-2"]}, "audience"),
        ({"aud": None}, "lacks one of the claims"),
        ({"aud": {"outcrop": 1}}, "audience"),
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"exp": None}, "lacks one of the claims"),
        ({"exp": "never"}, "malformed"),
        ({"exp": float("inf")}, "malformed"),
        ({"nbf": int(time.time()) + 86_400}, "not valid yet"),
        ({"iat": int(time.time()) + 86_400}, "not valid yet"),
        ({"sub": None}, "lacks one of the claims"),
        ({"sub": 7}, "malformed"),
        ({"iss": "https://evil.test"}, "issuer"),
        ({"iss": None}, "issuer"),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(
    verifier: OidcVerifier, issuer: Issuer, claims: dict[str, Any], words: str
) -> None:
    error = await refusal(verifier, issuer.token(**claims))
    assert isinstance(error, AuthenticationFailed)
    assert words in error.message


async def test_an_issuer_that_differs_by_a_slash_is_another(verifier: OidcVerifier, issuer: Issuer) -> None:
    assert "issuer" in (await refusal(verifier, issuer.token(iss=f"{issuer.url}/"))).message


def encoded(part: Any) -> str:
    return (
        base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=").decode()
    )


def payload_of(issuer: Issuer) -> str:
    return issuer.token().split(".")[1]


async def test_a_token_without_a_signature_is_refused(verifier: OidcVerifier, issuer: Issuer) -> None:
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        token = f"{encoded({'alg': algorithm, 'kid': issuer.current})}.{payload_of(issuer)}."
        assert isinstance(await refusal(verifier, token), AuthenticationFailed)


async def test_a_public_key_is_no_secret_of_hmac(verifier: OidcVerifier, issuer: Issuer) -> None:
    """Algorithm confusion: everybody knows the public key, and could sign with it if it counted as a shared secret."""
    public = json.dumps(issuer.jwks[0]).encode()
    signing_input = f"{encoded({'alg': 'HS256', 'kid': issuer.current})}.{payload_of(issuer)}"
    signature = hmac.digest(public, signing_input.encode(), hashlib.sha256)
    error = await refusal(verifier, f"{signing_input}.{encoded(signature)}")
    assert "algorithm" in error.message


async def test_an_algorithm_that_the_deployment_does_not_accept_is_refused(
    verifier: OidcVerifier, issuer: Issuer
) -> None:
    key = new_key("RS256")
    issuer.jwks.append(jwk_of(key, "RS256", kid="rsa"))
    error = await refusal(verifier, issuer.token(key=key, algorithm="RS256", headers={"kid": "rsa"}))
    assert "algorithm" in error.message


async def test_a_key_in_the_token_itself_is_ignored(verifier: OidcVerifier, issuer: Issuer) -> None:
    own = new_key("ES256")
    for headers in ({"jwk": jwk_of(own, "ES256")}, {"jku": f"{issuer.url}/keys"}, {"x5u": f"{issuer.url}/keys"}):
        error = await refusal(verifier, issuer.token(key=own, headers=headers))
        assert "signature" in error.message
    assert len(issuer.requests) == 2, "discovery and keys, once"


async def test_malformed_tokens_are_refused(verifier: OidcVerifier, issuer: Issuer) -> None:
    header, payload, signature = issuer.token().split(".")
    for token in (
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}.",
        f"{header}..{signature}",
        f"{header}.{encoded(b'[1]')}.{signature}",
        f"{header}.{encoded(b'{' * 5000)}.{signature}",
        f"{encoded({'alg': 'ES256', 'kid': 7})}.{payload}.{signature}",
        f"{encoded({'alg': ['ES256']})}.{payload}.{signature}",
        f"{encoded({'alg': 'ES256', 'crit': ['exp'], 'exp': 1})}.{payload}.{signature}",
        f"{encoded({'alg': 'ES256', 'b64': False, 'crit': ['b64']})}.{payload}.{signature}",
        f"eyJ{'A' * 20_000}.{payload}.{signature}",
    ):
        assert isinstance(await refusal(verifier, token), AuthenticationFailed)
    assert not verifier.accepts("eyJhbGciOiJub25lIn0.only-two")
    assert not verifier.accepts(f"{encoded(b'[]')}.{payload}.{signature}")
    assert not verifier.accepts("oc_not_a_token")
    assert not verifier.accepts("eyJ\udcff.a.b")


async def test_keys_are_read_once_for_many_tokens(verifier: OidcVerifier, issuer: Issuer) -> None:
    await asyncio.gather(*(verifier.verify(issuer.token(sub=f"user-{number}")) for number in range(50)))
    assert issuer.requests == ["/.well-known/openid-configuration", "/keys"]


async def test_a_rotated_key_is_found_at_once_and_a_withdrawn_one_is_forgotten(
    verifier: OidcVerifier, issuer: Issuer, clock: Clock
) -> None:
    old = issuer.token()
    await verifier.verify(old)
    issuer.rotate("second")
    clock.now += 10
    assert (await verifier.verify(issuer.token())).identity.name == "oidc/corp/alice"
    assert len(issuer.requests) == 4
    await verifier.verify(old)
    del issuer.jwks[0]
    clock.now += 301
    # the first use begins the reading, and does not wait for it
    await verifier.verify(old)
    await until(lambda: len(issuer.requests) >= 6)
    clock.now += 10
    assert "does not publish" in (await later_refusal(verifier, old)).message


async def test_a_check_reads_the_keys_of_each_issuer(verifier: OidcVerifier, issuer: Issuer) -> None:
    ((name, read),) = VerifiedTokens([verifier]).checks()
    assert (name, await read()) == ("keys of issuer corp", "keys: 1")
    issuer.answer = (404, {}, b"")
    with pytest.raises(Overloaded) as caught:
        await read()
    assert caught.value.detail == "corp: status 404"


async def test_a_storm_of_unknown_keys_asks_the_issuer_once_in_ten_seconds(
    verifier: OidcVerifier, issuer: Issuer, clock: Clock
) -> None:
    """Callers choose `kid`, so each unknown one must not become a request to the issuer."""
    await verifier.verify(issuer.token())
    clock.now += 100

    async def one(number: int) -> None:
        assert "does not publish" in (await refusal(verifier, issuer.token(headers={"kid": f"guess-{number}"}))).message

    await asyncio.gather(*(one(number) for number in range(100)))
    for number in range(100, 150):
        await one(number)
    assert len(issuer.requests) == 4
    clock.now += 10
    await one(1000)
    assert len(issuer.requests) == 6
    # meanwhile known keys are not affected
    await verifier.verify(issuer.token())


async def test_an_issuer_that_is_down_is_no_fault_of_the_caller(
    verifier: OidcVerifier, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.answer = (503, {}, b"")
    with caplog.at_level(logging.INFO):
        error = await refusal(verifier, issuer.token())
        assert isinstance(error, Overloaded)
        assert error.retry_after == 10
        assert "corp" in error.detail
        for _ in range(20):
            assert isinstance(await refusal(verifier, issuer.token()), Overloaded)
        assert len(issuer.requests) == 1
        issuer.answer, clock.now = None, clock.now + 10
        await verifier.verify(issuer.token())
    assert [record.message for record in caplog.records if record.name.startswith("app.")] == [
        "the keys of an issuer cannot be read",
        "the keys of an issuer can be read again",
    ]


async def test_known_keys_outlast_an_hour_without_their_issuer(
    verifier: OidcVerifier, issuer: Issuer, clock: Clock
) -> None:
    await verifier.verify(issuer.token())
    issuer.answer = (500, {}, b"")
    for _ in range(5):
        clock.now += 600
        await verifier.verify(issuer.token())
    clock.now += 601
    assert isinstance(await refusal(verifier, issuer.token()), Overloaded)


@pytest.mark.timed
async def test_a_slow_issuer_holds_a_request_for_two_seconds_at_most(verifier: OidcVerifier, issuer: Issuer) -> None:
    issuer.delay = 1.0
    began = time.monotonic()
    errors = await asyncio.gather(*(refusal(verifier, issuer.token()) for _ in range(20)))
    assert time.monotonic() - began < 2
    assert {type(error) for error in errors} == {Overloaded}
    # the reading goes on, and serves the next one
    await asyncio.sleep(1.0)
    await verifier.verify(issuer.token())
    assert len(issuer.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        (302, {"location": "/elsewhere"}, b""),
        (200, {}, b"not json"),
        (200, {}, b"[]"),
        (200, {}, b'{"keys": 7}'),
        (200, {}, b'{"a": "' + b"x" * 600_000 + b'"}'),
    ],
)
async def test_answers_that_are_no_documents_are_refused(
    issuer: Issuer, transport: Http1Transport, answer: tuple[int, dict[str, str], bytes]
) -> None:
    issuer.answer = answer
    verifier = OidcVerifier([row_of(issuer, jwks_uri=f"{issuer.url}/keys")], transport)
    assert isinstance(await refusal(verifier, issuer.token()), Overloaded)
    assert issuer.requests == ["/keys"], "redirects are not followed"
    await verifier.close()


@pytest.mark.parametrize(
    "changes", [{"issuer": "https://evil.test"}, {"jwks_uri": "ftp://127.0.0.1/keys"}, {"jwks_uri": 7}]
)
async def test_a_discovery_document_of_another_issuer_is_refused(
    verifier: OidcVerifier, issuer: Issuer, changes: dict[str, Any]
) -> None:
    issuer.discovery = changes
    assert isinstance(await refusal(verifier, issuer.token()), Overloaded)


async def test_keys_that_may_not_sign_tokens_are_left_out(verifier: OidcVerifier, issuer: Issuer) -> None:
    published = issuer.jwks[0]
    issuer.jwks = [
        {**published, "kid": "encrypts", "use": "enc"},
        {**published, "kid": "other-algorithm", "alg": "ES384"},
        {**published, "kid": "private", "d": "AQAB"},
        {**published, "kid": "no-point", "x": "AQAB"},
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
        {"kty": "EC", "kid": "empty"},
        "text",  # type: ignore[list-item]
        published,
    ]
    for key_id in ("encrypts", "other-algorithm", "private", "no-point", "shared", "empty"):
        assert "does not publish" in (await refusal(verifier, issuer.token(headers={"kid": key_id}))).message
    await verifier.verify(issuer.token())


async def test_a_token_without_a_key_id_needs_one_key_that_fits(
    verifier: OidcVerifier, issuer: Issuer, clock: Clock
) -> None:
    token = issuer.token(headers={"kid": ""})
    await verifier.verify(token)
    issuer.rotate("second")
    clock.now += 301
    await verifier.verify(token)
    await until(lambda: len(issuer.requests) >= 4)
    assert "does not publish" in (await later_refusal(verifier, token)).message


async def test_a_short_rsa_key_is_refused(transport: Http1Transport, issuer: Issuer) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    issuer.jwks = [jwk_of(key, "RS256", kid="short")]
    verifier = OidcVerifier([row_of(issuer, algorithms=["RS256"])], transport)
    with pytest.warns(UserWarning, match="bits long"):
        token = issuer.token(key=key, algorithm="RS256", headers={"kid": "short"})
    assert isinstance(await refusal(verifier, token), AuthenticationFailed)
    await verifier.close()


async def test_the_same_subject_of_two_issuers_is_two_callers(issuer: Issuer, transport: Http1Transport) -> None:
    with running_issuer() as other:
        rows = [row_of(issuer), row_of(other, name="partner", rules=[{"match": {}, "team": "partners"}])]
        verifier = OidcVerifier(rows, transport)
        found = [(await verifier.verify(each.token())).identity for each in (issuer, other)]
        assert [each.name for each in found] == ["oidc/corp/alice", "oidc/partner/alice"]
        assert [each.team for each in found] == ["research", "partners"]
        # a token of one issuer that is signed by the other
        forged = other.token(iss=issuer.url)
        assert isinstance(await refusal(verifier, forged), AuthenticationFailed)
        await verifier.close()


async def test_a_verified_token_is_remembered_until_it_expires(verifier: OidcVerifier, issuer: Issuer) -> None:
    wall = Clock()
    wall.now = time.time()
    tokens = VerifiedTokens([verifier], wall)
    token = issuer.token(exp=int(wall.now) + 60)
    assert tokens.find(b"digest") is None
    identity = await tokens.verify(token, b"digest")
    assert tokens.find(b"digest") is identity
    assert tokens.find(b"another") is None
    wall.now += 89
    assert tokens.find(b"digest") is identity
    wall.now += 2
    assert tokens.find(b"digest") is None


async def test_a_long_lived_token_is_verified_again_after_five_minutes(verifier: OidcVerifier, issuer: Issuer) -> None:
    wall = Clock()
    wall.now = time.time()
    tokens = VerifiedTokens([verifier], wall)
    await tokens.verify(issuer.token(exp=int(wall.now) + 86_400), b"digest")
    wall.now += 301
    assert tokens.find(b"digest") is None


async def test_a_refused_token_is_refused_again_from_memory(verifier: OidcVerifier, issuer: Issuer) -> None:
    tokens = VerifiedTokens([verifier])
    for _ in range(3):
        with pytest.raises(AuthenticationFailed, match="audience"):
            await tokens.verify(issuer.token(aud="another"), b"digest")
    with pytest.raises(AuthenticationFailed, match="audience"):
        tokens.find(b"digest")


async def test_a_key_that_is_published_after_its_first_token_is_accepted_ten_seconds_later(
    verifier: OidcVerifier, issuer: Issuer, clock: Clock
) -> None:
    wall = Clock()
    wall.now = time.time()
    tokens, published = VerifiedTokens([verifier], wall), list(issuer.jwks)
    issuer.rotate("second")
    announced, issuer.jwks = issuer.jwks, published
    token = issuer.token()
    with pytest.raises(AuthenticationFailed, match="does not publish"):
        await tokens.verify(token, b"digest")
    issuer.jwks = announced
    clock.now += 10
    wall.now += 10
    assert (await tokens.verify(token, b"digest")).name == "oidc/corp/alice"


async def test_what_is_remembered_is_bounded(verifier: OidcVerifier, issuer: Issuer, monkeypatch: Any) -> None:
    monkeypatch.setattr("app.governance.identity.verified_tokens._MAX_TOKENS", 3)
    tokens = VerifiedTokens([verifier])
    digests = [bytes([number]) for number in range(5)]
    for digest in digests:
        await tokens.verify(issuer.token(sub=str(digest)), digest)
    assert [tokens.find(digest) is not None for digest in digests] == [False, False, True, True, True]


async def test_concurrent_requests_share_one_verification(verifier: OidcVerifier, issuer: Issuer) -> None:
    issuer.delay = 0.05
    tokens = VerifiedTokens([verifier])
    token = issuer.token()
    waiting = [asyncio.create_task(tokens.verify(token, b"digest")) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {each.name for each in found[1:]} == {"oidc/corp/alice"}  # type: ignore[union-attr]
    await tokens.close()


@pytest.mark.timed
async def test_a_verification_that_takes_too_long_goes_on_and_serves_the_next_request() -> None:
    class Slow:
        is_answered = asyncio.Event()

        def accepts(self, token: str) -> bool:
            return True

        async def verify(self, token: str) -> Verified:
            await self.is_answered.wait()
            return Verified(Identity("oidc/corp/alice", "alice"), math.inf)

        async def close(self) -> None:
            pass

    slow = Slow()
    tokens = VerifiedTokens([slow])
    began = time.monotonic()
    with pytest.raises(Overloaded, match="in time"):
        await tokens.verify("token", b"digest")
    assert time.monotonic() - began < 2
    slow.is_answered.set()
    assert (await tokens.verify("token", b"digest")).name == "oidc/corp/alice"
    await tokens.close()


async def test_a_token_without_the_claim_that_names_the_person_is_refused(
    issuer: Issuer, transport: Http1Transport
) -> None:
    verifier = OidcVerifier([row_of(issuer, user_claim="email")], transport)
    assert (await verifier.verify(issuer.token(email="a@example.com"))).identity.person == "a@example.com"
    error = await refusal(verifier, issuer.token())
    assert isinstance(error, PermissionRefused)
    assert "email" in error.message
    await verifier.close()
