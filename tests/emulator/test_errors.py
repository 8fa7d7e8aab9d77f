"""Error responses, and the response to an unknown path."""

import pytest

from tests.emulator.calls import converse, post

pytestmark = pytest.mark.loopback


def test_an_error_has_the_headers_and_body_of_aws(url: str) -> None:
    answer = converse(url, "no.model")
    assert answer.status_code == 400
    assert (
        answer.headers["x-amzn-errortype"] == "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/"
    )
    assert answer.headers["x-amzn-requestid"]
    assert answer.json() == {"message": "The provided model identifier is invalid."}


def test_an_unknown_operation_has_status_200(url: str) -> None:
    answer = post(url, "/model/x/nothing", {})
    assert (answer.status_code, answer.json()["Output"]["__type"]) == (
        200,
        "com.amazon.coral.service#UnknownOperationException",
    )
