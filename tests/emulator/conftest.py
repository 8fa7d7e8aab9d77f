"""The emulator, called directly by boto3 or over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from app.emulator.protocol import BreakableProtocol
from tests.end_to_end.conftest import boto_client
from tests.servers import emulator_app, serving


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with serving(emulator_app(), http=BreakableProtocol) as base:
        yield base


@pytest.fixture
def bedrock(url: str) -> Iterator[Any]:
    with boto_client(url, name=ACCESS_KEY, secret=SECRET_KEY) as client:
        yield client
