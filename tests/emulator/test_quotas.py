"""The quotas of the emulator: what calls reserve, what they take, and which are throttled."""

from collections.abc import Iterator

import pytest

from app.emulator.auth import Authenticator
from app.emulator.catalog import MODELS
from app.emulator.keys import ACCESS_KEY, BEARER, SECRET_KEY
from app.emulator.protocol import BreakableProtocol
from app.emulator.quotas import Pool, Quotas, output_rate, with_quota
from app.emulator.server import Emulator
from tests.emulator.calls import ANTHROPIC_BODY, CLAUDE, converse, post
from tests.servers import serving

pytestmark = pytest.mark.loopback

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def quotas() -> Quotas:
    # 100 a second, of which 1,000 at once
    return Quotas(6000, 10.0, Clock())


@pytest.fixture
def url(quotas: Quotas) -> Iterator[str]:
    with serving(
        Emulator(Authenticator({ACCESS_KEY: SECRET_KEY}, frozenset({BEARER})), quotas=quotas), http=BreakableProtocol
    ) as base:
        yield base


def test_a_call_reserves_its_input_and_max_tokens_and_takes_its_output_five_times(url: str, quotas: Quotas) -> None:
    answer = converse(url, CLAUDE, inferenceConfig={"maxTokens": 900})
    usage = answer.json()["usage"]
    taken = usage["inputTokens"] + 5 * usage["outputTokens"]
    (pool,) = quotas.pools.values()
    assert (pool.calls, pool.settled, pool.free) == (1, taken, 1000 - taken)


def test_a_call_that_does_not_fit_is_throttled_and_takes_nothing(url: str, quotas: Quotas) -> None:
    pool = quotas.pool(f"us {CLAUDE.partition('.')[2]}")
    pool.free = 500
    answer = converse(url, CLAUDE, inferenceConfig={"maxTokens": 900})
    assert answer.status_code == 429
    assert answer.headers["x-amzn-errortype"].startswith("ThrottlingException:")
    assert answer.json() == {"message": "Too many tokens, please wait before trying again."}
    assert (pool.throttled, pool.free) == (1, 500)
    assert converse(url, HAIKU, inferenceConfig={"maxTokens": 900}).status_code == 200, "another model's quota"


@pytest.mark.parametrize("operation", ["converse-stream", "invoke", "invoke-with-response-stream"])
def test_every_operation_takes_from_the_quota(url: str, quotas: Quotas, operation: str) -> None:
    body = {**ANTHROPIC_BODY, "max_tokens": 900}
    if operation == "converse-stream":
        answer = converse(url, CLAUDE, operation, inferenceConfig={"maxTokens": 900})
    else:
        answer = post(url, f"/model/{CLAUDE}/{operation}", body)
    assert answer.status_code == 200
    (pool,) = quotas.pools.values()
    assert pool.calls == 1
    assert 0 < pool.settled < 100


def test_profiles_and_mantle_have_quotas_of_their_own() -> None:
    model = MODELS["anthropic.claude-sonnet-5"]
    called = [f"us.{model.id}", f"global.{model.id}", model.id]
    assert (
        len({with_quota(model, name).quota for name in called} | {with_quota(model, model.id, is_mantle=True).quota})
        == 4
    )
    assert output_rate(model, is_mantle=False) == 10
    assert output_rate(model, is_mantle=True) == 1


def test_an_answer_that_costs_more_than_was_reserved_is_a_debt() -> None:
    pool = Pool(6000, 1000, 1000, 0.0)
    assert pool.take(300, 0.0)
    pool.settle(300, 1500, 1.0)
    assert pool.free == -400
    assert not pool.take(1, 2.0)
    assert pool.take(100, 7.0), "100 a second are refilled"


def test_what_a_cache_had_is_reserved_and_not_taken(url: str, quotas: Quotas) -> None:
    answer = converse(url, "scripted.cached-v1:0", inferenceConfig={"maxTokens": 500})
    usage = answer.json()["usage"]
    (pool,) = quotas.pools.values()
    assert pool.settled == usage["inputTokens"] + usage["cacheWriteInputTokens"] + usage["outputTokens"]


def test_calls_that_start_together_are_throttled_though_the_minute_has_room() -> None:
    pool = Pool(6000, 1000, 1000, 0.0)
    assert [pool.take(100, 0.01 * number) for number in range(4)] == [True, True, False, False]
    assert pool.take(100, 0.3)
    pool = Pool(6000, 1000, 1000, 0.0)
    assert [pool.take(90, 0.01 * number) for number in range(4)] == [True, True, False, False]
    assert pool.take(90, 0.3)


def test_a_call_larger_than_the_burst_needs_all_of_it() -> None:
    pool = Pool(6000, 1000, 1000, 0.0)
    assert pool.take(50_000, 0.0)
    assert not pool.take(1, 60.0)
    pool.settle(50_000, 10, 60.0)
    assert pool.take(1, 60.0)
