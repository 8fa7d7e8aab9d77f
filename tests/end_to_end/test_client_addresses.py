"""What depends on the address of the client: the log, and limits for those who have not authenticated."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from tests.end_to_end.conftest import Records, boto_client
from tests.servers import KEY, gateway

PATH = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hi"}]}

pytestmark = pytest.mark.loopback


@pytest.fixture
def own_records() -> Records:
    return Records()


@pytest.fixture
def own_gateway(emulator_url: str, own_records: Records) -> Iterator[str]:
    with gateway(emulator_url, own_records, forwarded_allow_ips="127.0.0.1") as url:
        yield url


def post(url: str, key: str, forwarded: str = "203.0.113.1") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", "x-forwarded-for": forwarded}
    return httpx.post(url + PATH, json=BODY, headers=headers, timeout=20)


def test_failed_authentications_are_throttled_by_address(own_gateway: str, own_records: Records) -> None:
    statuses = [post(own_gateway, f"wrong-key-{number}").status_code for number in range(40)]
    assert statuses[:20] == [401] * 20
    assert statuses.count(429) >= 15
    refused = post(own_gateway, "wrong-key")
    assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
    assert int(refused.headers["retry-after"]) >= 1
    # an alarm for throttles of Bedrock counts the other kind
    assert own_records.by_id(refused.headers["x-request-id"]).error == "authentication"
    assert post(own_gateway, KEY).status_code == 200, "others behind the address go on"
    assert post(own_gateway, "wrong-key", "203.0.113.2").status_code == 401, "another address"


def test_the_log_has_the_address_of_the_client(own_gateway: str, own_records: Records, gateway_url: str) -> None:
    answer = post(own_gateway, KEY, "198.51.100.7, 203.0.113.9")
    assert own_records.by_id(answer.headers["x-request-id"]).client == "203.0.113.9"


def test_x_forwarded_for_is_not_believed_by_default(gateway_url: str, records: Records) -> None:
    answer = post(gateway_url, KEY, "203.0.113.9")
    assert records.by_id(answer.headers["x-request-id"]).client == "127.0.0.1"


def test_forged_signatures_of_one_address_do_not_lock_out_the_owner_of_a_name(emulator_url: str) -> None:
    keys = f"tests={KEY},other=another-secret-of-24"
    with (
        gateway(emulator_url, api_keys=keys, max_in_flight=80, max_waiting=0, forwarded_allow_ips="127.0.0.1") as url,
        ExitStack() as held,
    ):
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        for number in range(30):
            connection = held.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=30))
            now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            name = ("tests", "other")[number % 2]
            connection.sendall(
                f"POST /model/scripted.echo-v1:0/converse HTTP/1.1\r\nhost: x\r\nx-amz-date: {now}\r\n"
                "x-forwarded-for: 203.0.113.66\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n"
                f"authorization: AWS4-HMAC-SHA256 Credential={name}/{now[:8]}/us-east-1/bedrock/aws4_request, "
                f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}\r\n\r\n{{".encode()
            )
        time.sleep(0.5)
        with boto_client(url) as owner:
            reply = owner.converse(
                modelId="scripted.echo-v1:0", messages=[{"role": "user", "content": [{"text": "hi"}]}]
            )
        assert reply["stopReason"] == "end_turn"
