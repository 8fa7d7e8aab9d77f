"""A real embedded Bedrock and a real gateway before it, one of each for a whole run.

The SDKs are imported where they are used: it takes them half a second, in each of the processes that run tests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from app.emulator.protocol import BreakableProtocol
from tests.servers import KEY, KEY_NAME, emulator_app, gateway, serving

if TYPE_CHECKING:
    import boto3
    import openai


class Records:
    """Keeps what a gateway reports."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def request_ended(self, record: Any) -> None:
        self.all.append(record)

    def by_id(self, request_id: str) -> Any:
        """What is told of a request, which may come a moment after the last byte of its answer."""
        deadline = time.monotonic() + 2
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
    # many tests make it retry, all at once
    with gateway(emulator_url, records, retry_budget=10) as url:
        yield url


@pytest.fixture
def client(gateway_url: str) -> Iterator[openai.OpenAI]:
    import openai

    with openai.OpenAI(base_url=f"{gateway_url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


@contextmanager
def boto_client(
    url: str, service: str = "bedrock-runtime", name: str = KEY_NAME, secret: str = KEY, retries: Any = None
) -> Iterator[Any]:
    pair = {"aws_access_key_id": name, "aws_secret_access_key": secret}
    from botocore.config import Config

    config = Config(retries=retries or {"total_max_attempts": 1})
    with closing(_boto_session().client(service, endpoint_url=url, config=config, **pair)) as client:
        yield client


@cache
def _boto_session() -> boto3.Session:
    """One for all clients: each session reads the models of its services anew, for 100 ms of CPU."""
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
