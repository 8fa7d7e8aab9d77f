"""Large bodies of one key, and how long they delay the requests of another."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from tests.servers import HoldingBedrock, free_port, process, upstream

HOSTILE = "hostile-key-of-24-letters"
HONEST = "honest-key-of-24-letters"
START = b'{"model":"a.b","messages":[{"role":"user","content":"'
BODY_BYTES = 19_000_000
REFUSALS = {b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 413 Content Too Large"}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    bedrock, port = HoldingBedrock(), free_port()
    bedrock.may_answer.set()
    with upstream(bedrock.handle) as url:
        environment = {
            "API_KEYS": f"hostile={HOSTILE},honest={HONEST}",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "BEDROCK_MODEL_ID": "a.b",
            "MAX_BODIES_BYTES": str(2**31),
            "PORT": str(port),
        }
        with process("app", "serve", path="/health", port=port, **environment):
            yield port


def send_bad(port: int, body: bytes) -> bytes:
    """Send a body of the hostile key; return the status line of the response."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {HOSTILE}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=120) as caller:
        caller.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
        caller.sendall(body)
        return caller.recv(4096).partition(b"\r\n")[0]


def longest_delay(port: int, bad: bytes) -> float:
    """Return the seconds that the slowest request of the honest key takes beside five bad bodies of the other."""
    large = START + b"x" * 70_000 + b'"}]}'
    seconds = []
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as honest,
        ThreadPoolExecutor(5) as pool,
    ):
        honest.headers["authorization"] = f"Bearer {HONEST}"
        assert honest.post("/v1/chat/completions", content=large).status_code == 200
        bodies = [pool.submit(send_bad, port, bad) for _ in range(5)]
        while not all(each.done() for each in bodies):
            started = time.monotonic()
            assert honest.post("/v1/chat/completions", content=large).status_code == 200
            seconds.append(time.monotonic() - started)
        assert {each.result() for each in bodies} <= REFUSALS
    return max(seconds)


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.parametrize(
    "end", [pytest.param(b"", id="truncated"), pytest.param(rb"\ud8", id="truncated within a surrogate")]
)
def test_bad_bodies_of_one_key_delay_another_by_half_a_second_at_most(port: int, end: bytes) -> None:
    """Finding M1: a request waited 18 s behind five bodies that were full of escapes and truncated."""
    bad = START + rb"\n" * (BODY_BYTES // 2) + end
    # several times, because a busy machine alone may take as long
    assert any(longest_delay(port, bad) < 0.5 for _ in range(3))
