"""Worker processes of WEB_CONCURRENCY: what they share, how they are replaced, and how they stop."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.programs import ROOT, aws, environment, run, running
from tests.servers import HoldingBedrock, free_port, upstream
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

HEADERS = {"authorization": "Bearer secret-of-a-developer"}
CHAT = {"model": "a.b", "messages": [{"role": "user", "content": "x"}]}


@contextlib.contextmanager
def two_processes(**settings: str) -> Iterator[tuple[HoldingBedrock, str, "subprocess.Popen[str]"]]:
    bedrock = HoldingBedrock()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with upstream(bedrock.handle) as behind:
        with running("app", url=url, PORT=str(port), WEB_CONCURRENCY="2", **{**aws(behind), **settings}) as watcher:
            wait_until(lambda: len(children(watcher.pid)) == 2 and len(numbers(url, "process_start_time_seconds")) == 2)
            try:
                yield bedrock, url, watcher
            finally:
                bedrock.may_answer.set()


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def numbers(url: str, name: str) -> dict[str, float]:
    """Return the values of a metric by process."""
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=30).text):
        for sample in family.samples:
            if sample.name == name and sample.labels.get("route") in (None, "/v1/chat/completions"):
                process = sample.labels["process"]
                values[process] = values.get(process, 0) + sample.value
    return values


def ask(url: str) -> int:
    return httpx.post(f"{url}/v1/chat/completions", json=CHAT, headers=HEADERS, timeout=30).status_code


def test_every_worker_serves_the_metrics_of_all_and_a_dead_one_is_replaced() -> None:
    with two_processes() as (bedrock, url, watcher):
        bedrock.may_answer.set()
        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(lambda _: ask(url), range(60))) == {200}
        for _ in range(4):
            assert sum(numbers(url, "outcrop_requests_total").values()) == 60
        before = children(watcher.pid)
        victim = before.pop()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(children(watcher.pid) - {victim}) == 2 and len(numbers(url, "outcrop_in_flight")) == 2)
        assert before < children(watcher.pid)
        assert ask(url) == 200
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(40) == 0
        assert watcher.stderr is not None
        assert "a worker process has exited and is replaced" in watcher.stderr.read()


def test_workers_share_the_limit_and_a_dead_worker_s_permits_are_released() -> None:
    with two_processes(MAX_IN_FLIGHT="3", MAX_WAITING="0") as (bedrock, url, watcher), ThreadPoolExecutor(16) as pool:
        first = [pool.submit(ask_or_fail, url) for _ in range(12)]
        for _ in range(3):
            assert bedrock.received.acquire(timeout=30)
        wait_until(lambda: sum(each.done() for each in first) == 9)
        assert [each.result() for each in first if each.done()] == [429] * 9
        assert not bedrock.received.acquire(blocking=False)
        for victim in children(watcher.pid):
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda: all(each.done() for each in first))
        assert [each.result() for each in first].count(0) == 3
        wait_until(lambda: len(children(watcher.pid)) == 2)
        bedrock.may_answer.set()
        wait_until(lambda: ask_or_fail(url) == 200)  # without workers, connections are refused until one has started
        assert [ask(url) for _ in range(5)] == [200] * 5


def test_workers_share_the_limit_of_the_bytes_of_a_caller() -> None:
    limits = {
        "API_KEYS": "a=secret-of-a-developer,b=secret-of-caller-b",
        "MAX_BODY_BYTES": "200000",
        "MAX_BODIES_BYTES": "800000",
    }
    head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: secret-of-caller-b\r\ncontent-length: 190000\r\n\r\n"
    with two_processes(**limits) as (bedrock, url, _), contextlib.ExitStack() as stack:
        bedrock.may_answer.set()
        address = "127.0.0.1", urlsplit(url).port or 0
        callers = [stack.enter_context(socket.create_connection(address)) for _ in range(12)]
        for caller in callers:
            caller.sendall(head + b" " * 180_000)
        wait_until(lambda: len(select.select(callers, [], [], 0)[0]) >= 10)
        time.sleep(0.3)
        assert len(select.select(callers, [], [], 0)[0]) == 10
        assert [ask(url) for _ in range(5)] == [200] * 5


def is_refused(url: str) -> bool:
    try:
        httpx.get(f"{url}/health", timeout=20)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:
        pass
    return False


def ask_or_fail(url: str) -> int:
    try:
        return ask(url)
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_open_requests_end_on_shutdown_and_new_connections_are_refused(number: signal.Signals) -> None:
    with two_processes() as (bedrock, url, watcher), ThreadPoolExecutor() as pool:
        running_call = pool.submit(ask, url)
        assert bedrock.received.acquire(timeout=30)
        watcher.send_signal(number)
        wait_until(lambda: is_refused(url))
        assert not running_call.done()
        bedrock.may_answer.set()
        assert running_call.result() == 200
        assert watcher.wait(40) == 0


def test_workers_stop_gracefully_when_the_supervisor_dies() -> None:
    with two_processes() as (bedrock, url, watcher), ThreadPoolExecutor() as pool:
        orphans = children(watcher.pid)
        running_call = pool.submit(ask, url)
        assert bedrock.received.acquire(timeout=30)
        watcher.kill()
        wait_until(lambda: sum(map(is_alive, orphans)) == 1)
        (busy,) = (pid for pid in orphans if is_alive(pid))
        before = cpu_ticks(busy)
        time.sleep(1)
        assert cpu_ticks(busy) - before < 20
        bedrock.may_answer.set()
        assert running_call.result() == 200
        wait_until(lambda: not is_alive(busy))


def test_while_a_worker_is_missing_the_others_serve_all_connections() -> None:
    with two_processes() as (_, url, watcher):
        is_missing = False
        while not is_missing:  # a busy machine replaces it meanwhile; each time it is missing for twice as long
            wait_until(lambda: len(children(watcher.pid)) == 2)
            victim, other = children(watcher.pid)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: victim not in children(watcher.pid))  # noqa: B023
            assert [httpx.get(f"{url}/health", timeout=20).status_code for _ in range(12)] == [200] * 12
            is_missing = children(watcher.pid) == {other}


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_few_connections_are_spread_over_the_workers() -> None:
    with two_processes() as (bedrock, url, _):
        bedrock.may_answer.set()
        with ThreadPoolExecutor(24) as pool:  # one new connection each
            assert set(pool.map(lambda _: ask(url), range(48))) == {200}
        assert min(numbers(url, "outcrop_requests_total").values()) >= 5


def test_workers_that_cannot_start_end_the_gateway() -> None:
    ended = run(
        "app",
        PORT=str(free_port()),
        WEB_CONCURRENCY="2",
        HTTPS_PROXY="socks5://127.0.0.1:9",
        **aws("http://127.0.0.1:9"),
    )
    assert ended.returncode == 2
    assert 1 <= ended.stderr.count("Outcrop cannot start") <= 2


def test_an_error_in_names_is_reported_once() -> None:
    settings = {"PORT": str(free_port()), "WEB_CONCURRENCY": "2", **aws("http://127.0.0.1:9")}
    ended = run("app", CONFIG_TOML="[limits.default]\ntotal = 1", **settings)
    assert (ended.returncode, ended.stderr.count("Outcrop cannot start")) == (2, 1)


def test_the_start_warns_of_a_quota_that_no_call_takes_from() -> None:
    settings = {"PORT": str(free_port()), "CONFIG_TOML": '[quotas."claude-sonnet-4-5"]\ntokens_per_minute = 5'}
    command, variables = [sys.executable, "-m", "app"], environment(**settings, **aws("http://127.0.0.1:9"))
    with subprocess.Popen(command, env=variables, cwd=ROOT, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        while "quotas.claude-sonnet-4-5: has no effect" not in (line := started.stderr.readline()):
            assert line
            assert "listening" not in line
        started.terminate()


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("milliseconds", [0, 60, 120])
def test_a_stop_signal_during_the_start_ends_the_gateway_at_once(processes: str, milliseconds: int) -> None:
    settings = {"PORT": str(free_port()), "WEB_CONCURRENCY": processes, **aws("http://127.0.0.1:9")}
    command = [sys.executable, "-m", "app"]
    with subprocess.Popen(command, env=environment(**settings), cwd=ROOT, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        # warnings may come before it
        while "listening" not in (line := started.stderr.readline()):
            assert line, "the gateway did not listen"
        time.sleep(milliseconds / 1000)
        started.send_signal(signal.SIGTERM)
        assert started.wait(40) in (0, -signal.SIGTERM)
