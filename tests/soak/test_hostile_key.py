"""One key attacks the gateway, and three others are served as before."""

import asyncio
import os
import subprocess
import sys
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from tests.servers import free_port, process
from tests.soak.honest_callers import KEYS, Answer, HonestCallers
from tests.soak.hostile_key import HEAVY, HEAVY_EMBEDDINGS, NAMES

SECONDS = float(os.environ.get("SOAK_SECONDS", "150"))
KINDS = ("complete", "streamed")


@contextmanager
def gateway() -> Iterator[int]:
    """Run a gateway alone on one processor; the test and all processes that it starts later are on the others."""
    upstream, heavy, port = free_port(), free_port(), free_port()
    routes = {HEAVY: "c.d", HEAVY_EMBEDDINGS: "cohere.embed-v4:0"}
    settings = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{upstream}",
        "BEDROCK_MODEL_ID": "a.b",
        "BEDROCK_MAX_ATTEMPTS": "1",
        "API_KEYS": ",".join(f"{name}={secret}" for name, secret in KEYS.items()),
        "MAX_IN_FLIGHT": "80",
        "MAX_WAITING": "0",
        "CONFIG_TOML": "".join(
            f'[routes.{name}]\ntargets = [{{ model = "{model}", endpoint_url = "http://127.0.0.1:{heavy}" }}]\n'
            for name, model in routes.items()
        ),
        "PORT": str(port),
    }
    first, *rest = usable = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, usable)
        os.sched_setaffinity(0, {first})
        stack.enter_context(process("app", "serve", path="/health", port=port, **settings))
        os.sched_setaffinity(0, rest or usable)
        for each in (upstream, heavy):
            stack.enter_context(process("tests.soak.bedrock_for_attacks", str(each), path="/", port=each))
        httpx.get(f"http://127.0.0.1:{port}/openapi.json")  # a process builds it once, for half a second
        yield port


@contextmanager
def attacked(port: int, seconds: float) -> Iterator["subprocess.Popen[str]"]:
    names = ",".join(name for name in KEYS if name != "hostile")
    command = [sys.executable, "-m", "tests.soak.hostile_key", str(port), KEYS["hostile"], str(seconds), names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as hostile:
        try:
            yield hostile
        finally:
            hostile.kill()


async def answers_with_and_without(port: int, quiet: float, attack: float) -> tuple[list[Answer], list[Answer]]:
    """Return the answers to honest callers during attacks, each of `attack` seconds, and in `quiet` seconds before."""
    honest = HonestCallers(f"http://127.0.0.1:{port}")
    await honest.run_during(asyncio.sleep(1))
    without = await honest.run_during(asyncio.sleep(quiet))
    with attacked(port, attack) as hostile:
        assert hostile.stdout is not None
        lines = [await asyncio.to_thread(hostile.stdout.readline)]
        answers = await honest.run_during(asyncio.to_thread(hostile.wait))
        lines += hostile.stdout.readlines()
    moments = [float(line.partition(" ")[0]) for line in lines]
    during: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        during[lines[max(bisect(moments, answer.started) - 1, 0)].partition(" ")[2].strip()].append(answer)
    assert during.keys() == set(NAMES), "each attack was made"
    for name, each in {"none": without, **during, "all": answers}.items():
        figures = ", ".join(f"{kind} {median(each, kind):.3f} {p99(each, kind):.3f}" for kind in KINDS)
        print(f"{name:36} {len(each):5} answers, p50 and p99 in seconds: {figures}")
    return answers, without


def p99(answers: list[Answer], kind: str) -> float:
    """Return the seconds within which 99 % of the answers were complete."""
    return _at(answers, kind, 0.99)


def median(answers: list[Answer], kind: str) -> float:
    return _at(answers, kind, 0.5)


def _at(answers: list[Answer], kind: str, share: float) -> float:
    seconds = sorted(answer.seconds for answer in answers if answer.kind == kind)
    return seconds[int(len(seconds) * share)]


async def is_isolated(port: int, quiet: float, attack: float) -> bool:
    """Check that no honest request fails; return whether their p99 is less than twice that without attacks."""
    during, without = await answers_with_and_without(port, quiet, attack)
    assert [answer for answer in [*during, *without] if answer.problem] == []
    return all(p99(during, kind) < 2 * p99(without, kind) for kind in KINDS)


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.timeout(200)
async def test_a_hostile_key_does_not_slow_down_three_others() -> None:
    with gateway() as port:
        for _ in range(3):  # a busy machine alone may delay as many requests
            if await is_isolated(port, quiet=8, attack=1.2):
                return
    pytest.fail("with a hostile key, the p99 of honest callers was twice that without it")


@pytest.mark.soak
@pytest.mark.loopback
@pytest.mark.timeout(0)
async def test_a_hostile_key_does_not_slow_down_three_others_for_minutes() -> None:
    with gateway() as port:
        assert await is_isolated(port, quiet=SECONDS / 5, attack=SECONDS / len(NAMES))
