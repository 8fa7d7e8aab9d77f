"""Bearer keys and signatures."""

import json
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from tests.emulator.calls import MESSAGES

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"authorization": ""}, "Authorization header is missing"),
        ({"authorization": "Bearer wrong"}, "Authentication failed"),
        (
            {
                "authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=é"
            },
            "security token",
        ),
        ({"authorization": "nonsense"}, "security token"),
    ],
)
def test_unknown_credentials_are_refused(url: str, headers: dict[str, str], message: str) -> None:
    answer = httpx.post(
        f"{url}/model/x/converse", headers={name: value.encode("latin-1") for name, value in headers.items()}
    )  # type: ignore[misc]
    assert answer.status_code == 403
    assert message in answer.text


def signed(url: str, body: bytes, extra: dict[str, str] | None = None, service: str = "bedrock") -> dict[str, str]:
    request = AWSRequest("POST", f"{url}/model/scripted.echo-v1%3A0/converse", headers=extra, data=body)
    request.headers["host"] = urlsplit(url).netloc
    SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), service, "us-east-1").add_auth(request)
    return dict(request.headers.items())


def test_a_signature_covers_the_body(url: str) -> None:
    body = json.dumps({"messages": MESSAGES}).encode()
    path = f"{url}/model/scripted.echo-v1%3A0/converse"
    assert httpx.post(path, content=body, headers=signed(url, body)).status_code == 200
    for headers in (
        signed(url, b"{}"),
        signed(url, body, {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}),
        signed(url, body, service="s3"),
        {**signed(url, body), "x-amz-date": "20200101T000000Z"},
    ):
        answer = httpx.post(path, content=body, headers=headers)
        assert answer.status_code == 403
        assert answer.headers["x-amzn-errortype"].startswith("InvalidSignatureException")
