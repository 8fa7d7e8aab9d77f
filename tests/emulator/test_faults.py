"""Faults on demand."""

import random
from typing import Any

import httpx
import pytest
from botocore.exceptions import EventStreamError

from app.emulator.keys import BEARER
from app.wire.eventstream import FrameDecoder
from tests.emulator.calls import MESSAGES, converse, post

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        ("throttle", 429, "ThrottlingException"),
        ("internal", 500, "InternalServerException"),
        ("unavailable", 503, "ServiceUnavailableException"),
        ("notready", 429, "ModelNotReadyException"),
        ("timeout", 408, "ModelTimeoutException"),
        ("modelerror", 424, "ModelErrorException"),
        ("denied", 403, "AccessDeniedException"),
        ("quota", 400, "ServiceQuotaExceededException"),
        ("toolong", 400, "ValidationException"),
        ("notfound", 404, "ResourceNotFoundException"),
        ("expired", 403, "ExpiredTokenException"),
        ("retryafter-3", 429, "ThrottlingException"),
    ],
)
@pytest.mark.parametrize("operation", ["converse", "converse-stream", "count-tokens"])
def test_a_fault_replaces_the_response(url: str, fault: str, status: int, name: str, operation: str) -> None:
    body = {"input": {"converse": {"messages": MESSAGES}}} if operation == "count-tokens" else {"messages": MESSAGES}
    answer = post(url, f"/model/scripted.echo-v1:0.{fault}/{operation}", body)
    assert answer.status_code == status
    assert answer.headers["x-amzn-errortype"].startswith(f"{name}:")
    assert answer.headers.get("retry-after") == ("3" if fault == "retryafter-3" else None)


def test_a_fault_ends_after_its_number_of_attempts(url: str) -> None:
    more = {"system": [{"text": str(random.random())}]}
    assert [converse(url, "scripted.echo-v1:0.throttle-2", **more).status_code for _ in range(3)] == [429, 429, 200]


@pytest.mark.parametrize("operation", ["converse", "converse-stream"])
def test_a_reset_closes_the_connection_without_a_response(url: str, operation: str) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        converse(url, "scripted.echo-v1:0.reset", operation)
    more = {"system": [{"text": str(random.random())}]}
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        converse(url, "scripted.echo-v1:0.reset-1", operation, **more)
    assert converse(url, "scripted.echo-v1:0.reset-1", operation, **more).status_code == 200


@pytest.mark.parametrize("operation", ["converse", "converse-stream"])
def test_garbage_is_html_with_status_200(url: str, operation: str) -> None:
    answer = converse(url, "scripted.echo-v1:0.garbage", operation)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("exception-2", "internalServerException"),
        ("throttlemid-2", "throttlingException"),
        ("modelstream-2", "modelStreamErrorException"),
    ],
)
def test_an_exception_follows_its_number_of_events(bedrock: Any, fault: str, kind: str) -> None:
    stream = bedrock.converse_stream(modelId=f"scripted.long-v1:0.{fault}", messages=MESSAGES)["stream"]
    seen = []
    with pytest.raises(EventStreamError, match=kind):
        seen.extend(stream)
    stream.close()
    assert len(seen) == 2


def test_a_stream_breaks_stops_or_stalls(url: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        converse(url, "scripted.long-v1:0.cut-2", "converse-stream")
    decoder = FrameDecoder()
    assert len(decoder.feed(converse(url, "scripted.long-v1:0.stop-2", "converse-stream").content)) == 2
    assert decoder.is_at_boundary
    assert len(FrameDecoder().feed(converse(url, "scripted.long-v1:0.badcrc-2", "converse-stream").content)) == 2
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{url}/model/scripted.long-v1:0.stall-2/converse-stream",
            json={"messages": MESSAGES},
            headers={"authorization": f"Bearer {BEARER}"},
            timeout=0.3,
        )
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{url}/model/scripted.echo-v1:0.never/converse",
            json={"messages": MESSAGES},
            headers={"authorization": f"Bearer {BEARER}"},
            timeout=0.3,
        )


def test_slow_faults_delay_the_response(url: str) -> None:
    assert converse(url, "scripted.echo-v1:0.slow-200").elapsed.total_seconds() >= 0.2
    assert converse(url, "scripted.echo-v1:0.drip-50", "converse-stream").elapsed.total_seconds() >= 0.2
    assert converse(url, "scripted.slow-v1:0").elapsed.total_seconds() >= 0.2
