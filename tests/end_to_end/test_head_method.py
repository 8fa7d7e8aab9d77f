"""HEAD is answered wherever GET is, with the same status and headers, and without a body."""

import http.client
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from app.main import create_app
from tests.servers import KEY, NOWHERE, gateway_settings

HEADERS = {"x-api-key": KEY, "x-request-id": "the-same", "accept-encoding": "identity"}
DOCUMENTED = create_app(gateway_settings(NOWHERE)).openapi()["paths"]
PARAMETERS = {
    "model": "scripted.echo-v1:0",
    "response_id": "resp_none",
    "invocationArn": "none",
    "modelIdentifier": "scripted.echo-v1:0",
    "inferenceProfileIdentifier": "none",
}
OWN_PAGES = ["/", "/api/hello", "/docs", "/docs/swagger-ui.css", "/redoc", "/openapi.json"]
# their values change from request to request
CHANGING = {"date", "content-length", "x-amzn-requestid"}


@pytest.mark.parametrize("path", [*OWN_PAGES, *(path for path, item in DOCUMENTED.items() if "get" in item)])
def test_head_has_status_and_headers_of_get(gateway_url: str, path: str) -> None:
    path = path.format(**PARAMETERS)
    get = httpx.get(gateway_url + path, headers=HEADERS, timeout=20)
    parts = urlsplit(gateway_url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)) as connection:
        # the second response is read from the same connection: a body after the first would break it
        for _ in range(2):
            connection.request("HEAD", path, headers=HEADERS)
            head = connection.getresponse()
            assert head.status == get.status_code
            assert head.read() == b""
            sent = {name.lower(): value for name, value in head.getheaders() if name.lower() not in CHANGING}
            assert sent.keys() == get.headers.keys() - CHANGING
            assert sent.get("content-type") == get.headers.get("content-type")


def test_head_needs_a_key_where_get_does(gateway_url: str) -> None:
    assert httpx.head(f"{gateway_url}/v1/models").status_code == 401


def test_head_is_refused_where_there_is_no_get(gateway_url: str) -> None:
    answer = httpx.head(f"{gateway_url}/v1/messages", headers=HEADERS)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    answer = httpx.post(f"{gateway_url}/v1/models", headers=HEADERS)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
