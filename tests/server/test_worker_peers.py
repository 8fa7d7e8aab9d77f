"""The metrics of all workers, collected by one."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.observability.exposition import render
from app.observability.metrics import Metrics
from app.observability.observer import RequestRecord
from app.server import worker_peers
from app.server.worker_peers import Channel, WorkerPeers, merge_metrics

pytestmark = [pytest.mark.loopback, pytest.mark.waits]

PROCESSES = (
    b"# HELP outcrop_processes Processes whose metrics are included.\n"
    b"# TYPE outcrop_processes gauge\noutcrop_processes %d\n"
)


def measured(requests: int) -> bytes:
    metrics = Metrics()
    for _ in range(requests):
        metrics.request_ended(RequestRecord("r", "POST", route='/v1/{odd "name"}', dialect="d", status=200))
    return render(metrics.all)


def test_merged_samples_have_their_process_and_each_metric_is_described_once() -> None:
    text = merge_metrics({str(index): measured(index + 1).decode() for index in range(2)})
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
    one = merge_metrics({"0": measured(1).decode()})
    assert len(one.splitlines()) == len(measured(1).splitlines())


@pytest.fixture
def channels() -> Iterator[list[Channel]]:
    made = [Channel(), Channel(), Channel()]
    yield made
    for channel in made:
        channel.close()


async def test_a_worker_renders_the_metrics_of_all(channels: list[Channel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_peers, "_TIMEOUT_SECONDS", 30.0)
    stops = [
        WorkerPeers(channels, index).answer(lambda index=index: f"# HELP a b\na {index}\n".encode())  # type: ignore[misc]
        for index in (1, 2)
    ]
    asking = WorkerPeers(channels, 0)
    rendered = await asyncio.to_thread(asking.render, lambda: b"# HELP a b\na 0\n")
    assert rendered == b'# HELP a b\na{process="0"} 0\na{process="1"} 1\na{process="2"} 2\n' + PROCESSES % 3
    for stop in stops:
        stop()


async def test_a_worker_that_does_not_answer_is_left_out(
    channels: list[Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_peers, "_TIMEOUT_SECONDS", 30.0)
    stop = WorkerPeers(channels, 1).answer(lambda: b"a 1\n")
    channels[2].receiver.close()  # it has exited, and was not replaced
    rendered = await asyncio.to_thread(WorkerPeers(channels, 0).render, lambda: b"# HELP a b\na 0\n")
    assert b'process="2"' not in rendered
    stop()


def test_a_worker_s_queue_of_queries_is_limited(channels: list[Channel]) -> None:
    with contextlib.ExitStack() as answers:
        for _ in range(10_000):
            answer = channels[1].query()
            if answer is None:
                break
            answers.enter_context(answer)
        assert answer is None


@pytest.mark.timed
async def test_incomplete_answers_are_left_out_and_all_answers_share_one_timeout(channels: list[Channel]) -> None:
    long = b"# HELP a b\n" + b"".join(b'a{n="%d"} 1\n' % number for number in range(100_000))
    stop = WorkerPeers(channels, 1).answer(lambda: long)
    started = time.monotonic()  # the third does not answer; the query stays in its queue
    rendered = await asyncio.to_thread(WorkerPeers(channels, 0).render, lambda: b"# HELP a b\na 0\n")
    assert time.monotonic() - started < 3
    assert rendered.count(b'process="1"') == 100_000
    assert rendered.endswith(PROCESSES % 2)
    stop()
    asking = asyncio.create_task(asyncio.to_thread(WorkerPeers(channels, 0).render, lambda: b"# HELP a b\na 0\n"))
    await asyncio.sleep(0.2)
    _, (descriptor,), *_ = socket.recv_fds(channels[1].receiver, 1, 1)
    with socket.socket(fileno=descriptor) as answer:
        answer.sendall((1000).to_bytes(8) + b"# HELP a b\na 1\n")
    assert await asking == b'# HELP a b\na{process="0"} 0\n' + PROCESSES % 1
