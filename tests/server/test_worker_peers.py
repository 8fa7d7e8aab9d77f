"""One process tells what all have measured."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.observability.metrics import Metrics
from app.observability.observer import RequestRecord
from app.server.worker_peers import Channel, WorkerPeers, together

pytestmark = [pytest.mark.loopback, pytest.mark.waits]

PROCESSES = (
    b"# HELP outcrop_processes Processes that told of themselves here.\n"
    b"# TYPE outcrop_processes gauge\noutcrop_processes %d\n"
)


def measured(requests: int) -> Metrics:
    metrics = Metrics()
    for _ in range(requests):
        metrics.request_ended(RequestRecord("r", "POST", route='/v1/{odd "name"}', dialect="d", status=200))
    return metrics


def test_each_sample_tells_its_process_and_each_metric_stands_once() -> None:
    text = together({str(index): measured(index + 1).render().decode() for index in range(2)})
    families = [family.name for family in text_string_to_metric_families(text)]
    assert len(families) == len(set(families))
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {sample.labels["process"] for sample in samples} == {"0", "1"}
    counts = {
        sample.labels["process"]: (sample.value, sample.labels["route"])
        for sample in samples
        if sample.name == "outcrop_requests_total"
    }
    assert counts == {"0": (1, '/v1/{odd "name"}'), "1": (2, '/v1/{odd "name"}')}
    assert text.count("# TYPE outcrop_request_seconds histogram") == 1
    one = together({"0": measured(1).render().decode()})
    assert len(one.splitlines()) == len(measured(1).render().splitlines())


@pytest.fixture
def channels() -> Iterator[list[Channel]]:
    made = [Channel(), Channel(), Channel()]
    yield made
    for channel in made:
        channel.close()


async def test_any_process_answers_for_all(channels: list[Channel]) -> None:
    stops = [
        WorkerPeers(channels, index).answer(lambda index=index: f"# HELP a b\na {index}\n".encode())  # type: ignore[misc]
        for index in (1, 2)
    ]
    asking = WorkerPeers(channels, 0)
    told = await asyncio.to_thread(asking.render, lambda: b"# HELP a b\na 0\n")
    assert told == b'# HELP a b\na{process="0"} 0\na{process="1"} 1\na{process="2"} 2\n' + PROCESSES % 3
    for stop in stops:
        stop()


async def test_a_process_that_does_not_answer_is_left_out(channels: list[Channel]) -> None:
    stop = WorkerPeers(channels, 1).answer(lambda: b"a 1\n")
    channels[2].asked.close()  # it has gone, and nobody has come in its place
    told = await asyncio.to_thread(WorkerPeers(channels, 0).render, lambda: b"# HELP a b\na 0\n")
    assert b'process="2"' not in told
    stop()


def test_a_process_takes_no_more_questions_than_it_may_answer(channels: list[Channel]) -> None:
    with contextlib.ExitStack() as answers:
        for _ in range(10_000):
            answer = channels[1].ask()
            if answer is None:
                break
            answers.enter_context(answer)
        assert answer is None


async def test_what_is_not_whole_is_left_out_and_nobody_waits_for_each_in_turn(channels: list[Channel]) -> None:
    long = b"# HELP a b\n" + b"".join(b'a{n="%d"} 1\n' % number for number in range(100_000))
    stop = WorkerPeers(channels, 1).answer(lambda: long)
    started = time.monotonic()  # the third does not answer, and its place keeps the question
    told = await asyncio.to_thread(WorkerPeers(channels, 0).render, lambda: b"# HELP a b\na 0\n")
    assert time.monotonic() - started < 3
    assert told.count(b'process="1"') == 100_000
    assert told.endswith(PROCESSES % 2)
    stop()
    asking = asyncio.create_task(asyncio.to_thread(WorkerPeers(channels, 0).render, lambda: b"# HELP a b\na 0\n"))
    await asyncio.sleep(0.2)
    _, (descriptor,), *_ = socket.recv_fds(channels[1].asked, 1, 1)
    with socket.socket(fileno=descriptor) as answer:
        answer.sendall((1000).to_bytes(8) + b"# HELP a b\na 1\n")
    assert await asking == b'# HELP a b\na{process="0"} 0\n' + PROCESSES % 1
