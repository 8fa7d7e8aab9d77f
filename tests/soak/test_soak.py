"""Random requests, faults and disconnects for minutes (SOAK_SECONDS)."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from tests.servers import free_port, process
from tests.soak.gateway_with_state import PATH

pytestmark = [pytest.mark.soak, pytest.mark.loopback, pytest.mark.timeout(0)]

SECONDS = float(os.environ.get("SOAK_SECONDS", "150"))
CALLERS = 32
KEY = "soak-secret-of-24-letters"
FAULTS = [
    "", "", "", "throttle-1", "throttle-2", "throttle", "internal-1", "unavailable", "notready-1", "timeout", "modelerror",
    "denied", "quota", "toolong", "notfound", "expired-1", "reset", "reset-1", "slow-300", "garbage", "exception-1",
    "throttlemid-2", "modelstream-1", "cut-1", "cut-3", "stop-2", "stall-1", "badcrc-2", "drip-20", "retryafter-1",
]  # fmt: skip
SCENES = ["echo", "long", "tools", "thinking", "citations", "structured", "parallel"]
MESSAGES = [{"role": "user", "content": "words " * 50}]
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"


@pytest.fixture(scope="module")
def gateway_url() -> Iterator[str]:
    upstream, port = free_port(), free_port()
    settings = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{upstream}",
        "BEDROCK_MODEL_ID": "scripted.echo-v1:0",
        "API_KEYS": f"soak={KEY}",
        "BEDROCK_READ_TIMEOUT": "1",
        "BEDROCK_RETRY_MAX_WAIT": "0.1",
        "BREAKER_FAILURES": "0",
        "MAX_IN_FLIGHT": "24",
        "MAX_WAITING": "4",
        "HEARTBEAT_INTERVAL": "0.2",
        "RESPONSES_LIFETIME": "5",
    }
    with (
        process("app.emulator", "--scripted", "--port", str(upstream), path="/", port=upstream),
        process("tests.soak.gateway_with_state", str(port), path=PATH, port=port, **settings) as url,
    ):
        yield url


def request(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Choose a request of any dialect and mode."""
    fault = chance.choice(FAULTS)
    model = f"scripted.{chance.choice(SCENES)}-v1:0" + (f".{fault}" if fault else "")
    streamed = chance.random() < 0.6
    bedrock = {"messages": [{"role": "user", "content": [{"text": "words " * 50}]}]}
    return chance.choice(
        [
            ("/v1/chat/completions", {"model": model, "messages": MESSAGES, "stream": streamed}),
            ("/v1/responses", {"model": model, "input": "words " * 50, "stream": streamed}),
            ("/v1/messages", {"model": model, "max_tokens": 99, "messages": MESSAGES, "stream": streamed}),
            ("/v1/messages", {"model": CLAUDE, "max_tokens": 99, "messages": MESSAGES, "stream": streamed}),
            (f"/model/{model}/converse{'-stream' if streamed else ''}", bedrock),
            ("/v1/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": ["a"] * 5}),
            ("/v1/chat/completions", {"model": model, "messages": [{"role": "wizard"}]}),
            ("/nowhere", {}),
        ]
    )


async def soak(url: str, seconds: float, seed: int) -> Counter[str]:
    """Send requests, some of which are cancelled, for `seconds`; count the outcomes."""
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def caller(number: int) -> None:
        chance = random.Random(seed + number)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
            while time.monotonic() < end:
                path, body = request(chance)
                timeout = chance.uniform(0, 0.2) if chance.random() < 0.3 else 30
                try:
                    async with asyncio.timeout(timeout), client.stream("POST", path, json=body) as answer:
                        outcomes[str(answer.status_code)] += 1
                        async for _ in answer.aiter_raw():
                            if chance.random() < 0.01:
                                break
                except TimeoutError:
                    outcomes["left"] += 1
                except httpx.TransportError:
                    outcomes["cut"] += 1

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return outcomes


def settled(url: str) -> dict[str, int]:
    """Return the state of the gateway once it is idle and its connections are closed."""
    deadline = time.monotonic() + 60
    found: dict[str, int] = httpx.get(url + PATH).json()
    while time.monotonic() < deadline:
        time.sleep(1)
        now = httpx.get(url + PATH).json()
        if (now["tasks"], now["files"]) == (found["tasks"], found["files"]) and found["files"] < 30:
            return dict(now)
        found = now
    return found


async def test_memory_tasks_and_files_return_to_their_level_before_the_load(gateway_url: str) -> None:
    await soak(gateway_url, min(SECONDS / 5, 30), seed=1)  # fill the caches
    before = await asyncio.to_thread(settled, gateway_url)
    outcomes = await soak(gateway_url, SECONDS, seed=1000)
    after = await asyncio.to_thread(settled, gateway_url)
    print(f"{sum(outcomes.values())} requests in {SECONDS:.0f} s: {dict(outcomes.most_common())}")
    print(f"before {before}, after {after}")
    assert outcomes["200"] > 20 * SECONDS
    assert outcomes["left"] > SECONDS
    assert {"429", "400", "403", "404", "502", "503"} <= set(outcomes)
    assert after["tasks"] == before["tasks"]
    assert abs(after["files"] - before["files"]) <= 2
    assert after["memory"] - before["memory"] < 6 * 1024
    gauges = await asyncio.to_thread(lambda: httpx.get(f"{gateway_url}/metrics").text)
    assert "\noutcrop_in_flight 1.0\n" in gauges
    assert "\noutcrop_waiting 0.0\n" in gauges
