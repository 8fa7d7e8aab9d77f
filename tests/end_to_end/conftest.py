"""Fixtures: an embedded Bedrock and a gateway in front of it, one of each for the session.

The SDKs are imported where they are used: importing them takes half a second in each test process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from app.emulator.protocol import BreakableProtocol
from tests.end_to_end.recording import RecordingBedrock
from tests.servers import KEY, KEY_NAME, emulator_app, gateway, serving

if TYPE_CHECKING:
    import boto3
    import openai


class Records:
    """An observer that keeps the request records of a gateway."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def request_ended(self, record: Any) -> None:
        self.all.append(record)

    def by_id(self, request_id: str) -> Any:
        """Return the record of a request. It may arrive shortly after the last byte of the response."""
        deadline = time.monotonic() + 30
        while True:
            for record in self.all:
                if record.request_id == request_id:
                    return record
            if time.monotonic() > deadline:
                raise LookupError(request_id)
            time.sleep(0.002)


@pytest.fixture(scope="session")
def emulator_url() -> Iterator[str]:
    with serving(emulator_app(), http=BreakableProtocol) as url:
        yield url


@pytest.fixture(scope="session")
def records() -> Records:
    return Records()


@pytest.fixture(scope="session")
def gateway_url(emulator_url: str, records: Records) -> Iterator[str]:
    # many concurrent tests cause retries
    with gateway(emulator_url, records, retry_budget=10) as url:
        yield url


@pytest.fixture
def client(gateway_url: str) -> Iterator[openai.OpenAI]:
    import openai

    with openai.OpenAI(base_url=f"{gateway_url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def recorder() -> RecordingBedrock:
    return RecordingBedrock()


@pytest.fixture(scope="module")
def url(recorder: RecordingBedrock) -> Iterator[str]:
    """Return the URL of a gateway in front of `recorder`."""
    with serving(recorder) as bedrock, gateway(bedrock, retry_budget=10) as base:
        yield base


@contextmanager
def boto_client(
    url: str,
    service: str = "bedrock-runtime",
    name: str = KEY_NAME,
    secret: str = KEY,
    retries: Any = None,
    region: str = "us-east-1",
) -> Iterator[Any]:
    pair = {"aws_access_key_id": name, "aws_secret_access_key": secret}
    from botocore.config import Config

    config = Config(retries=retries or {"total_max_attempts": 1})
    with closing(_boto_session().client(service, region, endpoint_url=url, config=config, **pair)) as client:
        yield client


@cache
def _boto_session() -> boto3.Session:
    """Return one session for all clients: each new session parses the service models again, for 100 ms of CPU."""
    import boto3

    return boto3.Session(region_name="us-east-1")


@pytest.fixture
def runtime(gateway_url: str) -> Iterator[Any]:
    with boto_client(gateway_url) as client:
        yield client


@pytest.fixture
def control(gateway_url: str) -> Iterator[Any]:
    with boto_client(gateway_url, "bedrock") as client:
        yield client
