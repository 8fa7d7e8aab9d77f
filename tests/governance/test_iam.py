"""Callers with AWS credentials. The tokens are signed by botocore; a stand-in for STS checks the signatures."""

import base64
import json
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from msgspec import Struct

from app.bedrock.transport import HttpRequest
from app.config.identity_tables import IamRow
from app.errors import AuthenticationFailed, GatewayError, Overloaded, PermissionRefused, UpstreamFailed
from app.governance.identity.iam import IamVerifier
from app.governance.identity.sts import GATEWAY_HEADER, PREFIX, sts_host
from app.wire import sigv4

REGION, GATEWAY = "us-east-1", "outcrop.example.com"
ACCESS_KEY, SECRET = "AKIAEXAMPLEEXAMPLE00", "the-secret-of-these-credentials"
ARN = "arn:aws:sts::111122223333:assumed-role/ml-train/alice@example.com"
ROLE = {"match": {"arn": "arn:aws:iam::111122223333:role/ml-*"}, "team": "research"}


class Answer(Struct):
    """A response of STS."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    async def read(self, limit: int) -> bytes:
        if len(self.body) > limit:
            raise UpstreamFailed("too large", detail=f"more than {limit} bytes")
        return self.body

    def close(self) -> None:
        pass


class Sts:
    """Answers as STS does: it checks the signature over what it receives. answer: instead of that."""

    def __init__(self, arn: str = ARN) -> None:
        self.arn = arn
        self.requests: list[HttpRequest] = []
        self.answer: Answer | None = None
        self.problem = ""

    async def probe(self, url: str) -> str:
        return self.problem

    async def open(self, request: HttpRequest) -> Any:
        self.requests.append(request)
        if self.answer is not None:
            return self.answer
        parts = urlsplit(request.url)
        query = dict(parse_qsl(parts.query))
        signed = query["X-Amz-SignedHeaders"].split(";")
        received = {"host": parts.netloc, **dict(request.headers)}
        unsigned = "&".join(pair for pair in parts.query.split("&") if not pair.startswith("X-Amz-Signature="))
        headers = [(name, received.get(name, "")) for name in signed]
        canonical, _ = sigv4.canonical_request("GET", "/", unsigned, headers, sigv4.sha256_hex(b""))
        scope = query["X-Amz-Credential"].partition("/")[2]
        key = sigv4.signing_key(SECRET, *scope.split("/")[:3])
        if sigv4.signature(key, query["X-Amz-Date"], scope, canonical) != query["X-Amz-Signature"]:
            return Answer(
                403, b'{"Error": {"Code": "SignatureDoesNotMatch", "Message": "secret words", "Type": "Sender"}}'
            )
        result = {"Account": self.arn.split(":")[4], "Arn": self.arn, "UserId": "AROAEXAMPLE:alice"}
        document = {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {}}}
        return Answer(200, json.dumps(document).encode())


def presigned(
    url: str = "", gateway: str | None = GATEWAY, secret: str = SECRET, expires: int = 900, token: str | None = None
) -> str:
    headers = {GATEWAY_HEADER: gateway} if gateway is not None else {}
    url = url or f"https://{sts_host(REGION)}/?Action=GetCallerIdentity&Version=2011-06-15"
    request = AWSRequest("GET", url, headers=headers)
    SigV4QueryAuth(Credentials(ACCESS_KEY, secret, token), "sts", REGION, expires).add_auth(request)
    return str(request.url)


def as_token(url: str) -> str:
    return PREFIX + base64.urlsafe_b64encode(url.encode()).rstrip(b"=").decode()


def verifier(sts: Sts, *rules: dict[str, Any], now: float = 0.0, **fields: Any) -> IamVerifier:
    row = IamRow.model_validate({"gateway": GATEWAY, "rules": rules or [ROLE], **fields})
    return IamVerifier(row, REGION, sts, lambda: now or time.time())  # type: ignore[arg-type]


async def refusal(token: str, sts: Sts | None = None, **fields: Any) -> GatewayError:
    sts = sts or Sts()
    with pytest.raises(GatewayError) as caught:
        await verifier(sts, **fields).verify(token)
    assert "secret words" not in f"{caught.value.message} {caught.value.detail}"
    return caught.value


@pytest.mark.parametrize("session_token", [None, "FwoGZXIvYXdzE/+a=="])
async def test_a_role_gets_its_team(session_token: str | None) -> None:
    sts = Sts()
    verified = await verifier(sts).verify(as_token(presigned(token=session_token)))
    assert verified.identity.team == "research"
    assert verified.identity.person == "alice@example.com"
    assert verified.identity.name == "iam/aws:sts::111122223333:assumed-role/ml-train/alice@example.com"
    assert verified.ends_at == pytest.approx(time.time() + 900, abs=3)
    headers = dict(sts.requests[0].headers)
    assert headers == {GATEWAY_HEADER: GATEWAY, "accept": "application/json", "user-agent": "outcrop"}


@pytest.mark.parametrize(
    ("arn", "claims"),
    [
        ("arn:aws:iam::111122223333:user/team/bob", {"type": "user", "name": "bob"}),
        ("arn:aws:sts::111122223333:federated-user/carol", {"type": "federated-user", "name": "carol"}),
        ("arn:aws:iam::111122223333:root", {"type": "root", "name": "root"}),
        ("arn:aws-cn:sts::111122223333:assumed-role/deploy/i-0123", {"type": "role", "session": "i-0123"}),
    ],
)
async def test_rules_match_each_part_of_an_arn(arn: str, claims: dict[str, str]) -> None:
    rule = {"match": {"account": "111122223333", **claims}, "team": "t"}
    token = as_token(presigned())
    assert (await verifier(Sts(arn), rule).verify(token)).identity.team == "t"
    other = {"match": {"account": "111122223333", "name": "nobody"}, "team": "t"}
    with pytest.raises(PermissionRefused):
        await verifier(Sts(arn), other).verify(token)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:sts::999999999999:assumed-role/ml-train/alice",
        "arn:aws:sts::111122223333:assumed-role/other/ml-train",
        "arn:aws:iam::111122223333:user/ml-train",
    ],
)
async def test_other_accounts_roles_and_users_are_refused(arn: str) -> None:
    assert isinstance(await refusal(as_token(presigned()), Sts(arn)), PermissionRefused)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/?Action=GetCallerIdentity&Version=2011-06-15",
        "https://sts.us-east-1.amazonaws.com.evil.test/?Action=GetCallerIdentity&Version=2011-06-15",
        "https://sts.us-east-1.amazonaws.com@evil.test/?Action=GetCallerIdentity&Version=2011-06-15",
        "https://evil.test\\@sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        "https://sts.us-east-1.amazonaws.com:8443/?Action=GetCallerIdentity&Version=2011-06-15",
        "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        "https://STS.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        "http://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        "https://169.254.169.254/?Action=GetCallerIdentity&Version=2011-06-15",
        "https://sts.us-east-1.amazonaws.com/evil?Action=GetCallerIdentity&Version=2011-06-15",
        "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15#",
        "file:///etc/passwd",
        "",
    ],
)
async def test_only_hosts_of_sts_are_asked(url: str) -> None:
    """A token must not make the gateway send requests to other servers, inside or outside of its network."""
    query = presigned().partition("?")[2].partition("&X-Amz")[2]
    sts = Sts()
    assert isinstance(await refusal(as_token(f"{url}&X-Amz{query}" if "?" in url else url), sts), AuthenticationFailed)
    assert sts.requests == []


def changed(**changes: str | None) -> str:
    pairs = dict(parse_qsl(urlsplit(presigned()).query))
    pairs.update({name: value for name, value in changes.items() if value is not None})
    from urllib.parse import urlencode

    kept = {name: value for name, value in pairs.items() if changes.get(name, "") is not None}
    return f"https://{sts_host(REGION)}/?{urlencode(kept)}"


@pytest.mark.parametrize(
    "url",
    [
        changed(Action="AssumeRole"),
        changed(Action="getcalleridentity"),
        changed(Version="2020-01-01"),
        changed(Action=None),
        changed(**{"X-Amz-Signature": None}),
        changed(**{"X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256"}),
        changed(**{"X-Amz-SignedHeaders": "host"}),
        changed(**{"X-Amz-SignedHeaders": f"host;x-evil;{GATEWAY_HEADER}"}),
        changed(**{"X-Amz-Credential": f"{ACCESS_KEY}/20261201/us-east-1/s3/aws4_request"}),
        changed(**{"X-Amz-Credential": f"{ACCESS_KEY}/20261201/eu-west-1/sts/aws4_request"}),
        changed(**{"X-Amz-Expires": "-1"}),
        changed(**{"X-Amz-Expires": "9" * 400}),
        changed(**{"X-Amz-Date": "yesterday"}),
        changed(RoleArn="arn:aws:iam::1:role/x"),
        presigned() + "&Action=AssumeRole",
        presigned() + "&action=AssumeRole",
        presigned() + "&" + "a" * 9000,
    ],
)
async def test_a_url_that_is_no_presigned_get_caller_identity_is_refused(url: str) -> None:
    sts = Sts()
    assert isinstance(await refusal(as_token(url), sts), AuthenticationFailed)
    assert sts.requests == []


async def test_tokens_that_are_no_base64_are_refused() -> None:
    for text in ("", "!!!", "a", "é", as_token("x")[len(PREFIX) :] + "=" * 9, "A" * 10_000):
        assert isinstance(await refusal(PREFIX + text), AuthenticationFailed)
    assert not verifier(Sts()).accepts("k8s-aws-v1.abc")


async def test_a_signature_for_another_gateway_is_refused() -> None:
    """A token that another gateway received must be of no use here: its holder could replay it."""
    error = await refusal(as_token(presigned(gateway="other.example.com")))
    assert isinstance(error, AuthenticationFailed)
    assert error.detail == "SignatureDoesNotMatch"
    assert "must sign" in (await refusal(as_token(presigned(gateway=None)))).message


async def test_a_forged_signature_is_refused() -> None:
    assert isinstance(await refusal(as_token(presigned(secret="another-secret"))), AuthenticationFailed)


async def test_a_token_expires_after_15_minutes_whatever_it_says() -> None:
    sts, token = Sts(), as_token(presigned(expires=86_400))
    assert (await verifier(sts, now=time.time() + 890).verify(token)).ends_at == pytest.approx(time.time() + 900, abs=5)
    assert "expired" in (await refusal(token, sts, now=time.time() + 901)).message
    short = as_token(presigned(expires=60))
    assert "expired" in (await refusal(short, sts, now=time.time() + 62)).message
    assert "not valid yet" in (await refusal(token, sts, now=time.time() - 302)).message
    assert len(sts.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(302, b"", (("location", "https://evil.test/"),)), Overloaded),
        (Answer(500, b""), Overloaded),
        (Answer(200, b"<xml>"), Overloaded),
        (Answer(200, b"[]"), Overloaded),
        (Answer(200, b'{"GetCallerIdentityResponse": []}'), Overloaded),
        (
            Answer(
                200, b'{"GetCallerIdentityResponse": {"GetCallerIdentityResult": {"Arn": "arn:aws:iam::1:user/x"}}}'
            ),
            Overloaded,
        ),
        (Answer(200, b"x" * 100_000), Overloaded),
        (Answer(400, b'{"Error": {"Code": "Throttling"}}'), Overloaded),
        (Answer(403, b'{"Error": {"Code": "InvalidClientTokenId"}}'), AuthenticationFailed),
        (Answer(403, b'{"Error": {"Code": "ExpiredToken"}}'), AuthenticationFailed),
        (Answer(403, b'{"Error": {"Code": ["a"]}}'), Overloaded),
    ],
)
async def test_other_answers_of_sts(answer: Answer, error: type[GatewayError]) -> None:
    sts = Sts()
    sts.answer = answer
    assert isinstance(await refusal(as_token(presigned()), sts), error)
    assert len(sts.requests) == 1, "redirects are not followed"


@pytest.mark.parametrize(
    "rule",
    [
        {"match": {}, "team": "t"},
        {"match": {"name": "admin"}, "team": "t"},
        {"match": {"arn": "arn:aws:iam::*:role/admin"}, "team": "t"},
        {"match": {"arn": "*"}, "team": "t"},
        {"match": {"account": ["111122223333", "*"]}, "team": "t"},
    ],
)
def test_a_rule_must_name_the_account(rule: dict[str, Any]) -> None:
    """Everybody with an AWS account anywhere can make a valid token."""
    with pytest.raises(ValueError, match="name the account"):
        IamRow.model_validate({"gateway": GATEWAY, "rules": [rule]})


async def test_a_check_connects_to_each_host() -> None:
    sts = Sts()
    found = verifier(sts, regions=["us-east-1", "eu-west-1"]).checks()
    assert [*found] == ["connect to sts.us-east-1.amazonaws.com", "connect to sts.eu-west-1.amazonaws.com"]
    assert await found["connect to sts.eu-west-1.amazonaws.com"]() == "AWS STS can be reached"
    sts.problem = "no address"
    with pytest.raises(Overloaded, match="cannot be reached: no address"):
        await found["connect to sts.us-east-1.amazonaws.com"]()


async def test_regions_choose_the_hosts() -> None:
    assert sts_host("cn-north-1") == "sts.cn-north-1.amazonaws.com.cn"
    assert sts_host("eusc-de-east-1") == "sts.eusc-de-east-1.amazonaws.eu"
    error = await refusal(as_token(presigned()), regions=["eu-west-1", "eu-central-1"])
    assert "sts.eu-central-1.amazonaws.com or sts.eu-west-1.amazonaws.com" in error.message
