"""Schemas of requests are built when they are first needed."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.dialects.http.documents import InputList, InputSchema, validate

THREADS = 8


def new_schema(number: int) -> type[InputSchema]:
    """Return a schema that nothing has used."""

    class Part(InputSchema):
        text: str

    class Body(InputSchema):
        parts: InputList[Part]
        size: int = number

    return Body


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Switch threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("many_switches")
def test_threads_that_need_a_new_schema_at_once_all_validate_by_it() -> None:
    barrier = Barrier(THREADS)

    def read(schema: type[InputSchema]) -> InputSchema:
        barrier.wait()
        return validate({"parts": [{"text": "a"}]}, schema)

    with ThreadPoolExecutor(THREADS) as threads:
        for number in range(20):
            schema = new_schema(number)
            assert not schema.__pydantic_complete__
            bodies = [*threads.map(read, [schema] * THREADS)]
            assert [each.model_dump() for each in bodies] == [{"parts": [{"text": "a"}], "size": number}] * THREADS
