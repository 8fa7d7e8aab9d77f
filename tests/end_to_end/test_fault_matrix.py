"""Every fault has its documented result (docs/reference/faults.md) in every dialect and mode, complete and streamed.

Each result is an error of the right kind in the format of the dialect, arrives before the deadline, and leaves no task,
permit or socket.
"""

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from app.bedrock.http1 import connector
from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from app.main import create_app
from app.wire import json
from scripts.reference import header
from tests.bedrock.http1.servers import full_backlog
from tests.end_to_end.conftest import Records
from tests.end_to_end.faults import FAULTS, Fault, handler
from tests.servers import KEY, NOWHERE, gateway_settings, serving, upstream
from tests.waiting import wait_until

pytestmark = pytest.mark.waits

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
INTRODUCTION = """\
What callers see when Bedrock, or the way to it, fails. The table is measured: a test produces each fault with real
servers and sockets, in each dialect and mode, with complete and with streaming responses, and with at most two attempts.

- A cell gives the status that callers see, and the [kind](errors.md) of the error in the log.
- "200, then" means that a stream had begun. It ends with an error event in the format of the dialect.
- "cut" means that the connection is closed without such an event, because a frame was already incomplete.
- Some faults occur in streaming responses only, some in complete ones only.

No fault leaves a task, a permit or a socket behind.

"""
DEADLINE = 40.0
MESSAGES = [{"role": "user", "content": "x"}]
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
GPT = "openai.gpt-oss-20b-1:0"
GPT55 = "openai.gpt-5.5"


@dataclass(frozen=True)
class Endpoint:
    """A dialect in a mode."""

    title: str
    path: str
    body: dict[str, Any]
    stream_path: str = ""

    def request(self, *, is_streamed: bool) -> tuple[str, dict[str, Any]]:
        """Return the path and the body."""
        if self.stream_path:
            return self.stream_path if is_streamed else self.path, self.body
        return self.path, {**self.body, "stream": is_streamed}

    @property
    def is_unchanged(self) -> bool:
        """True if the response crosses byte for byte."""
        return bool(self.stream_path) and "by Responses" not in self.title


CONVERSE_BODY = {"messages": [{"role": "user", "content": [{"text": "x"}]}]}
ENDPOINTS = [
    Endpoint("Chat Completions", "/v1/chat/completions", {"model": "a.b", "messages": MESSAGES}),
    Endpoint("Responses", "/v1/responses", {"model": "a.b", "input": "x"}),
    Endpoint("Responses, native", "/v1/responses", {"model": GPT, "input": "x"}),
    Endpoint("Messages", "/v1/messages", {"model": "a.b", "max_tokens": 9, "messages": MESSAGES}),
    Endpoint("Messages, native", "/v1/messages", {"model": CLAUDE, "max_tokens": 9, "messages": MESSAGES}),
    Endpoint("Messages, by Responses", "/v1/messages", {"model": GPT55, "max_tokens": 99, "messages": MESSAGES}),
    Endpoint("Converse", "/model/a.b/converse", CONVERSE_BODY, "/model/a.b/converse-stream"),
    Endpoint("Converse, by Responses", f"/model/{GPT55}/converse", CONVERSE_BODY, f"/model/{GPT55}/converse-stream"),
    Endpoint("InvokeModel", f"/model/{CLAUDE}/invoke", {}, f"/model/{CLAUDE}/invoke-with-response-stream"),
]
# kinds that a stream in OpenAI's format reports as server_error
OPENAI_SERVER_ERRORS = frozenset({"overloaded", "upstream_failed", "upstream_timeout"})
LIMITS: dict[str, Any] = {
    "bedrock_connect_timeout": 30.0,
    "bedrock_read_timeout": 30.0,
    "bedrock_max_attempts": 2,
    "bedrock_total_timeout": DEADLINE,
    "retry_budget": 10,
    "breaker_failures": 0,
}
# of the faults that are found by waiting
SHORT_LIMITS: dict[str, dict[str, Any]] = {
    "connect_timeout": {"bedrock_connect_timeout": 1.0},
    "upstream_timeout": {"bedrock_read_timeout": 1.0},
}


@contextlib.contextmanager
def upstream_of(fault: Fault) -> Iterator[str]:
    """Start an upstream with the fault; yield its URL."""
    with contextlib.ExitStack() as stack:
        match fault.upstream:
            case "refused":
                yield NOWHERE
            case "nameless":

                async def fail_lookup(host: str, port: int) -> Any:
                    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

                stack.enter_context(mock.patch.object(connector, "_look_up", fail_lookup))
                yield "http://bedrock.test"
            case "full":
                yield f"http://127.0.0.1:{stack.enter_context(full_backlog())}"
            case other:
                url = stack.enter_context(upstream(handler(fault)))
                yield url.replace("http:", "https:") if other == "no TLS" else url


class ObservedGateway:
    """The gateway, with access to its event loop."""

    def __init__(self, url: str, records: Records, fault: Fault) -> None:
        limits = LIMITS | SHORT_LIMITS.get(fault.kind, {})
        self._app = create_app(gateway_settings(url, **limits), records)
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)

    def tasks(self) -> set[str]:
        """Return the names of the running tasks."""
        assert self.loop is not None
        return {task.get_name() for task in asyncio.all_tasks(self.loop)}


@contextlib.contextmanager
def observed_gateway(fault: Fault) -> Iterator[tuple[str, Records, ObservedGateway]]:
    credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    records = Records()
    with upstream_of(fault) as url, mock.patch.dict(os.environ, credentials):
        observed = ObservedGateway(url, records, fault)
        with serving(observed) as base:
            wait_until(lambda: "credentials" not in httpx.get(f"{base}/health/ready").text)
            yield base, records, observed


def send(base: str, endpoint: Endpoint, *, is_streamed: bool) -> tuple[httpx.Response, bytes, bool, float]:
    """Send a request; return the response, its body, whether it was cut, and the seconds that it took."""
    path, body = endpoint.request(is_streamed=is_streamed)
    headers = {"authorization": f"Bearer {KEY}"}
    started, data, is_cut = time.monotonic(), b"", False
    with httpx.stream("POST", base + path, json=body, headers=headers, timeout=60) as answer:
        try:
            for piece in answer.iter_bytes():
                data += piece
        except httpx.RemoteProtocolError:
            is_cut = True
    return answer, data, is_cut, time.monotonic() - started


def ending_of(endpoint: Endpoint, data: bytes, *, is_cut: bool) -> str:
    """Return how a started stream ends: "typed" error, "complete", "unchanged" or "cut"."""
    if is_cut:
        return "cut"
    if endpoint.stream_path:
        return "typed" if b":exception-type" in data else "unchanged"
    text = data.decode()
    if endpoint.path == "/v1/chat/completions":
        is_typed, is_complete = '"error":{' in text.rpartition("data:")[2], "[DONE]" in text
    elif endpoint.path == "/v1/messages":
        is_typed, is_complete = "event: error" in text, "event: message_stop" in text
    else:
        is_typed = "event: response.failed" in text or "event: error" in text
        is_complete = "event: response.completed" in text
    assert is_typed != is_complete, text
    return "typed" if is_typed else "complete"


def result_of(base: str, records: Records, fault: Fault, endpoint: Endpoint, *, is_streamed: bool) -> str:
    """Return the result of a fault at an endpoint; empty if the fault cannot occur there."""
    if fault.only and (fault.only == "stream") != is_streamed:
        return ""
    answer, data, is_cut, seconds = send(base, endpoint, is_streamed=is_streamed)
    if fault.name == "stale pooled connection":
        answer, data, is_cut, seconds = send(base, endpoint, is_streamed=is_streamed)
    assert seconds < DEADLINE - 0.5
    kind = records.by_id(answer.headers["x-request-id"]).error
    if answer.status_code == 200:
        ending = ending_of(endpoint, data, is_cut=is_cut) if is_streamed else "complete"
        if ending in ("complete", "unchanged") and not kind:
            return "200"
        return f"200, then `{kind}`" + (", cut" if ending == "cut" else "")
    assert not is_cut
    document = json.loads(data) if answer.headers["content-type"].startswith("application/json") else {}
    assert document.get("error", document).get("message") or endpoint.stream_path, data
    return f"{answer.status_code} `{kind}`"


def results_of(fault: Fault) -> list[str]:
    """Return the results of a fault in each column; assert that no task, permit or socket is left."""
    sockets = count_of_sockets()
    with observed_gateway(fault) as (base, records, observed):
        before = observed.tasks()
        cells = [(endpoint, is_streamed) for endpoint in ENDPOINTS for is_streamed in (False, True)]
        with ThreadPoolExecutor(len(cells)) as pool:
            found = [
                each.result()
                for each in [
                    pool.submit(result_of, base, records, fault, endpoint, is_streamed=streamed)
                    for endpoint, streamed in cells
                ]
            ]
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not observed.tasks() - before)
        assert {re.sub(r"\d+", "", name) for name in observed.tasks() - before} == set()
        gauges = httpx.get(f"{base}/metrics").text
        assert "\noutcrop_in_flight 1.0\n" in gauges
        assert "\noutcrop_waiting 0.0\n" in gauges
    wait_until(lambda: count_of_sockets() <= sockets)
    return found


def count_of_sockets() -> int:
    """Count the open sockets of this process, in which the gateway runs."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(each.readlink()).startswith("socket:")
    return count


def row_of(fault: Fault, found: list[str]) -> str:
    """Return the table row of a fault: its most frequent result, and the columns with another one."""
    columns = [(endpoint.title, streamed) for endpoint in ENDPOINTS for streamed in ("", ", streamed")]
    results = [text for text in found if text]
    usual = max(dict.fromkeys(results), key=results.count)
    others: dict[str, list[str]] = {}
    for (title, streamed), text in zip(columns, found, strict=True):
        if text not in ("", usual):
            others.setdefault(text, []).append(title + streamed)
    exceptions = [f"{_column_names(titles)}: {text}" for text, titles in others.items()]
    return f"| {fault.name} | {usual} | {'; '.join(exceptions)} |"


def _column_names(titles: list[str]) -> str:
    """Join column titles; a dialect is named once if its complete and its streaming responses agree."""
    both = {title for title in titles if f"{title}, streamed" in titles}
    left = [title for title in titles if title.removesuffix(", streamed") not in both or title in both]
    return " and ".join(re.sub(r", (.*)", r" (\1)", title) for title in left)


def documented_rows() -> list[str]:
    return [line for line in PAGE.read_text().splitlines() if line.startswith("|")][2:]


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_fault_has_the_documented_result(fault: Fault) -> None:
    found = results_of(fault)
    for index, text in enumerate(found):
        endpoint = ENDPOINTS[index // 2]
        kinds = {fault.kind}
        is_by_responses = endpoint.title in ("Responses, native", "Messages, by Responses", "Converse, by Responses")
        if fault.kind in OPENAI_SERVER_ERRORS and "in a stream" in fault.name and is_by_responses:
            kinds = {"internal"}
        is_unchanged = fault.is_content and endpoint.is_unchanged
        if text and not (is_unchanged and text == "200"):
            assert text.partition("`")[2].partition("`")[0] in kinds
            # a translated response begins with its first item, and a fault before that has its own status
            is_late = is_by_responses and endpoint.title != "Responses, native"
            assert is_unchanged or is_late or text.startswith("200") == (fault.begun or not fault.kind)
    assert row_of(fault, found) in documented_rows(), "run: python -m scripts.reference faults"


def test_table_has_a_row_for_each_fault() -> None:
    assert len(FAULTS) >= 24
    assert len(documented_rows()) == len(FAULTS)


def page() -> str:
    """Measure and return docs/reference/faults.md."""
    lines = ["| fault | result | except |", "|---|---|---|", *(row_of(fault, results_of(fault)) for fault in FAULTS)]
    return header("Faults") + INTRODUCTION + "\n".join(lines) + "\n"
