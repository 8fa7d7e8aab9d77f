"""The composition of a gateway."""

import asyncio
import contextlib
import logging

import pytest

from app.bedrock.endpoints import DEFAULT_LOCATION
from app.composition import gateway as composition
from app.composition.gateway import build_gateway
from app.errors import Overloaded
from app.observability.observer import RequestRecord, TriedTarget
from app.server.worker_context import WorkerContext
from tests.servers import gateway_settings


@pytest.mark.parametrize(
    ("keys", "smoke", "limited"),
    [
        ("a=secret-of-caller-a", None, set()),
        ("a=secret-of-caller-a", "secret-of-smoke-1", {"smoke"}),
        ("a=secret-of-caller-a,b=secret-of-caller-b", "secret-of-smoke-1", {"a", "b", "smoke"}),
    ],
)
async def test_each_of_several_callers_gets_a_share_of_the_body_bytes(
    keys: str, smoke: str | None, limited: set[str]
) -> None:
    settings = gateway_settings("http://127.0.0.1:1", api_keys=keys, smoke_api_key=smoke)
    ingress_limits = build_gateway(settings, WorkerContext()).ingress_limits
    assert ingress_limits.bodies.of_each.keys() == ingress_limits.unverified_of_each.keys() == limited


async def test_the_open_one_of_two_breakers_by_one_name_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    settings = gateway_settings("http://127.0.0.1:1", bedrock_model_id="a.b", breaker_failures=1, breaker_seconds=5)
    gateway = build_gateway(settings, WorkerContext())
    breakers = gateway.executor.failover.breakers
    monkeypatch.setattr(breakers, "clock", lambda: now)
    breakers[("a.b", DEFAULT_LOCATION, "invoke")].note(Overloaded(""), is_probe=False)
    now = 4.0
    breakers[("a.b", DEFAULT_LOCATION, "converse")].note(Overloaded(""), is_probe=False)
    now = 6.0
    assert [*breakers.states().values()] == ["half_open", "open"]
    assert gateway.breakers() == {"a.b": "open"}
    breakers[("a.b", DEFAULT_LOCATION, "invoke")].note(Overloaded(""), is_probe=True)
    now = 10.0
    assert [*breakers.states().values()] == ["open", "half_open"]
    assert gateway.breakers() == {"a.b": "open"}


async def test_the_metrics_show_breakers_of_models_that_have_answered_and_readiness_those_of_the_deployment() -> None:
    gateway = build_gateway(gateway_settings("http://127.0.0.1:1", breaker_failures=1), WorkerContext())
    answered = RequestRecord("r", "POST", status=200, target="c.d", tries=[TriedTarget("c.d", error="")])
    gateway.metrics.request_ended(answered)
    for model in ("c.d", "e.f"):
        gateway.executor.failover.breakers[(model, DEFAULT_LOCATION, "invoke")].note(Overloaded(""), is_probe=False)
    assert gateway.breakers() == {}
    rendered = gateway.render_metrics()
    assert b'outcrop_breaker_state{target="c.d"} 2' in rendered
    assert b"e.f" not in rendered


async def test_the_log_says_when_bedrock_cannot_be_reached_and_when_it_can_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, composition.__name__)
    monkeypatch.setattr(composition, "_PROBE_SECONDS", 0.0)
    gateway = build_gateway(gateway_settings("http://127.0.0.1:1"), WorkerContext())
    problems = iter(["cannot connect (OSError)", "cannot connect (OSError)", "", ""])

    async def probe(_: str) -> str:
        return next(problems)

    monkeypatch.setattr(gateway.transport, "probe", probe)
    prober = asyncio.create_task(gateway._probe())
    async with asyncio.timeout(30):
        while len(caplog.messages) < 2:
            await asyncio.sleep(0)
    gateway.client.reachability.problem = "a request failed"
    await asyncio.sleep(0.01)
    prober.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await prober
    assert caplog.messages == ["Bedrock cannot be reached: cannot connect (OSError)", "Bedrock can be reached again"]
    assert gateway.client.reachability.problem == ""
