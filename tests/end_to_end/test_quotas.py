"""Calls that wait for a quota of Bedrock, over sockets: in turns, refused, in streams, at another target."""

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from app.composition import quotas as composed
from app.emulator.protocol import BreakableProtocol
from app.emulator.quotas import Pool, Quotas
from app.emulator.server import Emulator
from app.errors import QuotaBusy
from app.governance.quotas import calibration, daily
from app.governance.quotas.estimates import Estimates
from app.governance.quotas.pool import QuotaPool
from app.governance.quotas.waiting_calls import WaitingCalls
from tests.end_to_end.conftest import Records
from tests.quota_bedrock import QuotaBedrock
from tests.quota_callers import INPUT, MAX_TOKENS, MODEL, Callers
from tests.servers import (
    KEY,
    KEY_NAME,
    emulator_app,
    free_port,
    gateway,
    http_reply,
    process,
    read_request,
    serving,
    upstream,
)
from tests.waiting import wait_until

OTHER_KEY = "other-key-of-24-letters"
PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "responses": "/v1/responses",
    "bedrock": f"/model/{MODEL}/converse",
}


def quota(tokens_per_minute: int, model: str = MODEL, more: str = "") -> str:
    return f'[quotas."{model}"]\ntokens_per_minute = {tokens_per_minute}\n{more}\n'


def body(dialect: str, output: int = 20, **more: Any) -> dict[str, Any]:
    text = json.dumps({"input": INPUT, "output": output})
    if dialect == "bedrock":
        turn = {"role": "user", "content": [{"text": text}]}
        return {"messages": [turn], "inferenceConfig": {"maxTokens": MAX_TOKENS}, **more}
    if dialect == "responses":
        return {"model": MODEL, "input": text, "max_output_tokens": MAX_TOKENS, **more}
    length = "max_tokens" if dialect == "anthropic" else "max_completion_tokens"
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], length: MAX_TOKENS, **more}


def post(url: str, dialect: str = "openai", headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    sent = {"x-api-key": KEY, "authorization": f"Bearer {KEY}", **(headers or {})}
    return httpx.post(url + PATHS[dialect], json=body(dialect, **more), headers=sent, timeout=60)


@contextlib.contextmanager
def limited(
    records: Records | None = None,
    *,
    per_minute: int = 60_000,
    toml: str = "",
    bedrock: QuotaBedrock | None = None,
    **settings: Any,
) -> Iterator[tuple[str, Pool]]:
    """Run a gateway before a Bedrock with a quota; yield its base URL, and the quota at Bedrock."""
    bedrock = bedrock or QuotaBedrock(per_minute)
    with upstream(bedrock.handle) as at:
        settings = {"config_toml": toml or quota(per_minute), "native_surfaces": "none", **settings}
        with gateway(at, records, **settings) as url:
            yield url, bedrock.pool


def in_parallel(count: int, call: Any) -> list[Any]:
    answers: list[Any] = [None] * count

    def run(number: int) -> None:
        answers[number] = call(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_nothing_of_quotas_is_loaded_without_one() -> None:
    code = (
        "import sys\n"
        "from app.main import create_app\n"
        "from tests.servers import gateway_settings\n"
        "create_app(gateway_settings('http://127.0.0.1:9'))\n"
        "print([name for name in sys.modules"
        " if name.startswith('app.governance.quotas') or name.endswith(('quota_attempt', 'burndown'))])\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert printed == "[]\n"


def test_calls_wait_for_their_turn_and_none_is_throttled(records: Records) -> None:
    with limited(records) as (url, pool):
        answers = in_parallel(8, lambda _: post(url))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert (pool.calls, pool.throttled) == (8, 0)
    uses = [record.quota for record in records.all if record.quota is not None]
    assert len(uses) == 8
    assert {use.settled for use in uses} == {INPUT + 20 * 5}
    assert max(use.waited for use in uses) > 0.5 > min(use.waited for use in uses)
    assert min(use.reserved for use in uses) > MAX_TOKENS


@pytest.mark.parametrize("dialect", [*PATHS])
def test_a_call_that_cannot_start_in_time_is_refused_at_once(dialect: str) -> None:
    with limited(per_minute=6000, quota_max_wait=2, toml=quota(6000)) as (url, pool):
        answers = in_parallel(6, lambda _: (time.monotonic(), post(url, dialect), time.monotonic()))
    refused = [(answer, ended - began) for began, answer, ended in answers if answer.status_code != 200]
    assert refused
    assert all(answer.status_code == 429 for answer, _ in refused)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer, _ in refused)
    assert all("x-should-retry" not in answer.headers for answer, _ in refused)
    assert min(seconds for _, seconds in refused) < 1.8
    assert "quota of this model" in refused[0][0].text
    assert pool.throttled == 0


def test_a_stream_takes_from_the_quota_until_its_end() -> None:
    quotas = Quotas(600_000)
    app = emulator_app()
    app = Emulator(app._authenticator, quotas=quotas)
    with serving(app, http=BreakableProtocol) as bedrock:
        with gateway(bedrock, config_toml=quota(600_000)) as url:
            for dialect in ("openai", "anthropic", "responses"):
                answer = post(url, dialect, stream=True)
                assert answer.status_code == 200
            state = httpx.get(f"{url}/metrics").text
    (pool,) = quotas.pools.values()
    assert pool.calls == 3
    assert 'outcrop_quota_settled_tokens_total{pool="' + MODEL + f'"}} {float(pool.settled)}' in state
    assert 'outcrop_quota_reserved_now_tokens{pool="' + MODEL + '"} 0.0' in state


BEATS = {"openai": b": ", "anthropic": b"event: ping", "responses": b": "}


@pytest.mark.parametrize("dialect", [*BEATS])
def test_a_stream_that_waits_gets_heartbeats_and_later_errors_as_events(dialect: str) -> None:
    with limited(per_minute=6000, heartbeat_interval=0.2, toml=quota(6000)) as (url, pool):
        assert post(url, dialect).status_code == 200
        # this Bedrock does not stream: what it answers is an error, after the stream has begun
        answer = post(url, dialect, stream=True)
    assert pool.calls == 2
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content.count(BEATS[dialect]) >= 3
    last = answer.text.strip().split("\n\n")[-1]
    assert json.loads(last.rpartition("data: ")[2])
    assert "Bedrock" in last
    assert ("response.failed" if dialect == "responses" else "error") in last


def test_a_stream_that_need_not_wait_long_keeps_its_status() -> None:
    with limited(per_minute=600_000) as (url, _):
        answer = post(url, stream=True)
    assert answer.status_code == 502


def test_a_class_that_does_not_exist_is_refused() -> None:
    with limited() as (url, _):
        assert post(url, headers={"x-outcrop-class": "batch"}).status_code == 200
        answer = post(url, headers={"x-outcrop-class": "urgent"})
    assert answer.status_code == 400
    assert "x-outcrop-class must be one of interactive, batch" in answer.text


def test_counting_tokens_takes_nothing(records: Records) -> None:
    with serving(emulator_app(), http=BreakableProtocol) as bedrock:
        with gateway(bedrock, records, config_toml=quota(60)) as url:
            for _ in range(5):
                answer = httpx.post(
                    f"{url}/v1/messages/count_tokens", json=body("anthropic"), headers={"x-api-key": KEY}, timeout=5
                )
                assert answer.status_code == 200


def test_a_route_spills_to_the_target_where_the_call_starts_earlier(records: Records) -> None:
    other = QuotaBedrock(600_000)
    with upstream(other.handle) as elsewhere:
        first = f'{{ model = "{MODEL}" }}'
        second = f'{{ model = "{MODEL}", region = "eu-west-1", endpoint_url = "{elsewhere}" }}'
        toml = quota(6000, more="regions.eu-west-1 = { tokens_per_minute = 600000 }")
        toml += f"[routes.smart]\ntargets = [{first}, {second}]\n"
        with limited(records, per_minute=6000, toml=toml, quota_spill_wait=0.5) as (url, pool):
            answers = in_parallel(8, lambda _: post(url, model="smart"))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert pool.throttled == other.pool.throttled == 0
    assert other.pool.calls >= 5
    assert pool.calls >= 1, "calls that need not wait stay where their caches are"


def test_a_call_waits_at_all_targets_together_for_as_long_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def acquire(_: QuotaPool, __: object, max_wait: float, **___: object) -> None:
        waits.append(max_wait)
        await asyncio.sleep(0.3)
        raise QuotaBusy("the quota is spent", retry_after=1.0)

    monkeypatch.setattr(QuotaPool, "acquire_now", lambda *_: None)
    monkeypatch.setattr(QuotaPool, "acquire", acquire)
    targets = ", ".join(f'{{ model = "{MODEL}", region = "{region}" }}' for region in ("us-east-1", "eu-west-1"))
    with limited(toml=quota(6000) + f"[routes.smart]\ntargets = [{targets}]\n", quota_max_wait=2) as (url, _):
        assert post(url, model="smart").status_code == 429
    assert waits[0] <= 2
    assert [later <= earlier - 0.29 for earlier, later in itertools.pairwise(waits)] == [True]


def test_a_conversation_whose_cache_is_here_waits_longer_before_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its next call waits up to five times QUOTA_SPILL_WAIT here."""
    monkeypatch.setattr(Estimates, "cached_share", lambda self, key: 1.0)
    other = QuotaBedrock(600_000)
    with upstream(other.handle) as elsewhere:
        targets = (
            f'{{ model = "{MODEL}" }}, {{ model = "{MODEL}", region = "eu-west-1", endpoint_url = "{elsewhere}" }}'
        )
        toml = quota(60_000, more="regions.eu-west-1 = { tokens_per_minute = 600000 }")
        with limited(
            per_minute=60_000, toml=toml + f"[routes.smart]\ntargets = [{targets}]\n", quota_spill_wait=1.0
        ) as (url, pool):
            answers = in_parallel(4, lambda _: post(url, model="smart"))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert (pool.calls, other.pool.calls) == (4, 0), "about three seconds of calls wait"


def test_a_spent_day_is_tried_once_in_a_while_and_not_again_and_again(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily, "PROBE_SECONDS", 60.0)
    made: list[daily.DailyQuotas] = []
    init = daily.DailyQuotas.__init__
    monkeypatch.setattr(daily.DailyQuotas, "__init__", lambda self, clock: (made.append(self), init(self, clock))[1])
    bedrock = QuotaBedrock(600_000)
    bedrock.is_day_spent = True
    with limited(records, per_minute=600_000, bedrock=bedrock) as (url, pool):
        answers = [post(url) for _ in range(5)]
        assert pool.throttled == 1, "the first call told it, without a retry"
        bedrock.is_day_spent = False
        (quotas,) = made
        for location in quotas.probe_at:
            quotas.probe_at[location] -= 61
        assert post(url).status_code == 200
        assert post(url).status_code == 200
        shown = httpx.get(f"{url}/metrics").text
    assert {answer.status_code for answer in answers} == {429}
    assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
    assert {answer.json()["error"]["code"] for answer in answers} == {"insufficient_quota"}
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert "per day" in answers[0].text
    assert "per day" in answers[-1].text
    assert {records.by_id(each.headers["x-request-id"]).error for each in answers} == {"quota_exceeded"}
    assert 'outcrop_quota_day_spent{pool="' + MODEL + '"} 0.0' in shown
    assert 'outcrop_quota_throttled_total{pool="' + MODEL + '"} 0.0' in shown, "the minute's quota is not to blame"


def test_a_route_goes_on_where_the_day_is_not_spent() -> None:
    first, other = QuotaBedrock(600_000), QuotaBedrock(600_000)
    first.is_day_spent = True
    with upstream(other.handle) as elsewhere:
        targets = (
            f'{{ model = "{MODEL}" }}, {{ model = "{MODEL}", region = "eu-west-1", endpoint_url = "{elsewhere}" }}'
        )
        toml = quota(600_000) + f"[routes.smart]\ntargets = [{targets}]\n"
        with limited(per_minute=600_000, toml=toml, bedrock=first) as (url, pool):
            answers = [post(url, model="smart") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert (pool.throttled, other.pool.calls) == (1, 4)


@pytest.mark.parametrize(("tier", "throttles"), [("default", "1.0"), ("flex", "0.0")])
def test_a_throttle_in_the_flex_tier_shows_nothing_about_the_quota(tier: str, throttles: str) -> None:
    """Else a caller could slow down all others."""
    with limited(bedrock=QuotaBedrock(60), toml=quota(600_000), bedrock_max_attempts=1) as (url, _):
        assert post(url, "bedrock").status_code == 200
        assert post(url, "bedrock", serviceTier={"type": tier}).status_code == 429
        assert f'outcrop_quota_throttled_total{{pool="{MODEL}"}} {throttles}' in httpx.get(f"{url}/metrics").text


def test_only_the_configuration_takes_calls_out_of_the_quota() -> None:
    """A caller that requests the tier `reserved` does not pass by the others; a target with this tier has no quota."""
    toml = quota(6000) + f'[routes.bought]\ntargets = [{{ model = "{MODEL}", tier = "reserved" }}]\n'
    with limited(bedrock=QuotaBedrock(600_000), quota_max_wait=2, toml=toml) as (url, _):
        requested = in_parallel(6, lambda _: post(url, "bedrock", serviceTier={"type": "reserved"}).status_code)
        bought = in_parallel(6, lambda _: post(url, model="bought").status_code)
    assert sorted({*requested}) == [200, 429]
    assert bought == [200] * 6


def test_a_spent_day_is_known_for_models_without_a_quota_too() -> None:
    bedrock = QuotaBedrock(600_000)
    bedrock.is_day_spent = True
    with limited(bedrock=bedrock, toml=quota(1000, "us.amazon.nova-pro-v1:0")) as (url, pool):
        assert [post(url).status_code for _ in range(3)] == [429] * 3
    assert pool.throttled == 1


def test_a_caller_that_leaves_the_queue_takes_nothing() -> None:
    with limited(per_minute=6000, quota_max_wait=60) as (url, pool):
        assert post(url).status_code == 200
        for _ in range(5):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    url + PATHS["openai"],
                    json=body("openai"),
                    headers={"authorization": f"Bearer {KEY}"},
                    timeout=httpx.Timeout(20, read=0.2),
                )
        assert post(url).status_code == 200
        assert pool.calls <= 3


@pytest.mark.slow
@pytest.mark.timed
def test_two_replicas_share_a_quota_between_a_flood_and_a_small_team(tmp_path: Any) -> None:
    """The short form of tests/soak/test_quotas.py."""
    per_minute, seconds = 180_000, 10.0
    keys = {"flood": "flood-key-of-24-letters!", "small": "small-key-of-24-letters!"}
    with contextlib.ExitStack() as stack:
        port = free_port()
        bedrock = stack.enter_context(process("tests.quota_bedrock", str(port), str(per_minute), path="/", port=port))
        gateways = [
            stack.enter_context(replica(bedrock, keys, quota(per_minute), tmp_path, number)) for number in range(2)
        ]
        counts: dict[str, int] = {}
        callers = Callers(gateways, keys, lambda: counts.update(httpx.get(bedrock).json()))
        asyncio.run(callers.run(seconds, {"flood": (48, 0.0), "small": (2, 0.3)}))
    small = callers.outcomes["small"]
    assert counts["settled"] / (per_minute * seconds / 60) > 0.8, "the first calls end after half a second"
    assert counts["throttled"] <= 0.01 * (counts["calls"] + counts["throttled"])
    assert small.statuses == {}
    assert small.median < 1.5


def replica(
    bedrock: str, keys: dict[str, str], toml: str, folder: Any, number: int, port: int = 0, database_url: str = ""
) -> Any:
    """Run a gateway with a database that all replicas share: by default a file in the folder."""
    from app.emulator.keys import ACCESS_KEY, SECRET_KEY

    port = port or free_port()
    data = folder / f"data{number}"
    data.mkdir(exist_ok=True)
    environment = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": bedrock,
        "BEDROCK_MODEL_ID": MODEL,
        "NATIVE_SURFACES": "none",
        "API_KEYS": ",".join(f"{name}={secret}" for name, secret in keys.items()),
        "CONFIG_TOML": toml,
        "DATABASE_URL": database_url or f"sqlite:///{folder}/outcrop.db",
        "DATA_DIR": str(data),
        "KEY_PEPPER": "p" * 40,
        "PORT": str(port),
    }
    return process("app", path="/health/ready", port=port, is_killed=True, **environment)


def test_quotas_are_read_from_aws_with_a_signature_of_its_own() -> None:
    """Applied quotas come before AWS's defaults, and pages are read one after the other."""
    seen: list[tuple[str, str, dict[str, Any]]] = []
    name = "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.5 V1"
    pages = {
        ("ListServiceQuotas", None): {"Quotas": [], "NextToken": "second"},
        ("ListServiceQuotas", "second"): {
            "Quotas": [{"QuotaCode": "L-F4DDD3EB", "QuotaName": name, "Value": 900_000.0}]
        },
        ("ListAWSDefaultServiceQuotas", None): {
            "Quotas": [{"QuotaCode": "L-F4DDD3EB", "QuotaName": name, "Value": 1.0}]
        },
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, sent = await read_request(reader)
            fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if ": " in line)
            if "x-amz-target" in fields:
                document = json.loads(sent)
                operation = next(each for each, _ in pages if fields["x-amz-target"].endswith("." + each.lower()))
                seen.append((operation, fields["authorization"], document))
                found: Any = pages[operation, document.get("NextToken")]
            elif b"/inference-profiles" in head:
                profile = {"inferenceProfileId": MODEL, "type": "SYSTEM_DEFINED", "status": "ACTIVE"}
                arn = f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL.partition('.')[2]}"
                found = {"inferenceProfileSummaries": [{**profile, "models": [{"modelArn": arn}]}]}
            elif b"/foundation-models" in head:
                model = {
                    "modelId": MODEL.partition(".")[2],
                    "modelName": "Claude Sonnet 4.5",
                    "providerName": "Anthropic",
                }
                found = {"modelSummaries": [{**model, "outputModalities": ["TEXT"]}]}
            else:
                found = {
                    "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
                    "stopReason": "end_turn",
                    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
                    "metrics": {"latencyMs": 1},
                }
            writer.write(http_reply(json.dumps(found).encode()))
            await writer.drain()

    with upstream(answer) as at, gateway(at, quotas_from_aws=True, native_surfaces="none") as url:
        deadline = time.monotonic() + 40
        while len(seen) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        shown = ""
        while "900000.0" not in shown and time.monotonic() < deadline:
            assert post(url).status_code == 200
            shown = httpx.get(f"{url}/metrics").text
            time.sleep(0.05)
    assert 'outcrop_quota_limit_tokens_per_minute{pool="' + MODEL + '"} 900000.0' in shown
    assert [operation for operation, _, _ in seen] == ["ListServiceQuotas"] * 2 + ["ListAWSDefaultServiceQuotas"]
    assert all("/us-east-1/servicequotas/aws4_request" in authorization for _, authorization, _ in seen)
    assert seen[1][2] == {"ServiceCode": "bedrock", "MaxResults": 100, "NextToken": "second"}


def aws_of(account: dict[str, Any], seen: list[tuple[str, str, dict[str, Any]]]) -> Any:
    """Return what answers as AWS: for each operation of other services a document, and calls of models."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, sent = await read_request(reader)
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
            fields = {name.lower(): value for name, value in fields.items()}
            if "x-amz-target" in fields:
                operation = fields["x-amz-target"].rpartition(".")[2]
                seen.append((operation, fields["authorization"], json.loads(sent)))
                found = account[operation]
            else:
                found = {
                    "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
                    "stopReason": "end_turn",
                    "usage": {"inputTokens": 100, "outputTokens": 20, "totalTokens": 120},
                    "metrics": {"latencyMs": 1},
                }
            writer.write(http_reply(json.dumps(found).encode()))
            await writer.drain()

    return answer


def test_what_cloudwatch_counts_is_shown_beside_what_was_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "_CALIBRATION_SECONDS", 0.2)
    monkeypatch.setattr(calibration, "_LATE_MINUTES", -1)
    points = [{"Timestamp": 1.0, "Sum": 1500.0, "Unit": "Count"}, {"Timestamp": 2.0, "Sum": 500.0, "Unit": "Count"}]
    seen: list[tuple[str, str, dict[str, Any]]] = []
    answers = {"GetMetricStatistics": {"Label": "EstimatedTPMQuotaUsage", "Datapoints": points}}
    name = 'outcrop_quota_cloudwatch_tokens_per_minute{pool="' + MODEL + '"}'
    with upstream(aws_of(answers, seen)) as at:
        with gateway(at, config_toml=quota(60_000), quotas_calibration=True, native_surfaces="none") as url:
            assert post(url).status_code == 200
            deadline, shown = time.monotonic() + 40, ""
            while name not in shown and time.monotonic() < deadline:
                shown = httpx.get(f"{url}/metrics").text
                time.sleep(0.05)
    assert f"{name} 200.0" in shown, "2,000 tokens in ten minutes"
    _, authorization, asked = seen[0]
    assert "/us-east-1/monitoring/aws4_request" in authorization
    assert asked["Dimensions"] == [{"Name": "ModelId", "Value": MODEL}]
    assert (asked["Namespace"], asked["MetricName"]) == ("AWS/Bedrock", "EstimatedTPMQuotaUsage")
    assert (asked["EndTime"] - asked["StartTime"], asked["StartTime"] % 60) == (600, 0)


def test_a_cloudwatch_that_refuses_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "_CALIBRATION_SECONDS", 0.05)
    seen: list[tuple[str, str, dict[str, Any]]] = []
    with upstream(aws_of({"GetMetricStatistics": {"Datapoints": "x"}}, seen)) as at:
        with gateway(at, config_toml=quota(60_000), quotas_calibration=True, native_surfaces="none") as url:
            assert post(url).status_code == 200
            deadline = time.monotonic() + 40
            while len(seen) < 3 and time.monotonic() < deadline:
                time.sleep(0.02)
            assert post(url).status_code == 200
            shown = httpx.get(f"{url}/metrics").text
    assert len(seen) >= 3
    assert 'cloudwatch_tokens_per_minute{pool="' not in shown


class NotingBedrock(QuotaBedrock):
    """Notes of which group each call is, in the order in which they arrive."""

    def __init__(self, per_minute: int) -> None:
        super().__init__(per_minute)
        self.groups: list[str] = []

    async def _answer(self, request: dict[str, Any]) -> bytes:
        self.groups.append(json.loads(request["messages"][-1]["content"][-1]["text"])["group"])
        return await super()._answer(request)


@pytest.mark.parametrize(
    "groups",
    [
        {"heavy": {}, "light": {"x-api-key": OTHER_KEY, "authorization": f"Bearer {OTHER_KEY}"}},
        {"interactive": {}, "batch": {"x-outcrop-class": "batch"}},
    ],
)
def test_of_calls_that_wait_each_group_gets_its_part(
    monkeypatch: pytest.MonkeyPatch, groups: dict[str, dict[str, str]]
) -> None:
    """A team of the weight 9 beside one of the weight 1, and interactive calls beside batch calls: nine of ten.

    None starts before all wait.
    """
    per_minute, may_begin, may_start = 480_000, threading.Event(), WaitingCalls.may_start
    bedrock = NotingBedrock(per_minute)
    names = {KEY_NAME: KEY, "other": OTHER_KEY}
    settings = {
        "api_keys": ",".join(f"{name}={key}" for name, key in names.items()),
        "toml": quota(per_minute, more=f"[quota_weights]\n{KEY_NAME} = 9"),
    }

    def post_of(group: str) -> int:
        text = json.dumps({"input": INPUT, "output": 20, "group": group})
        messages = {"messages": [{"role": "user", "content": text}]}
        return post(url, headers=groups[group], **messages).status_code

    with limited(bedrock=bedrock, **settings) as (url, _):
        # so that what calls cost is known
        assert in_parallel(8, lambda number: post_of([*groups][number % 2])) == [200] * 8
        bedrock.groups.clear()
        monkeypatch.setattr(QuotaPool, "acquire_now", lambda *_: None)
        monkeypatch.setattr(WaitingCalls, "may_start", lambda *given: may_begin.is_set() and may_start(*given))
        with ThreadPoolExecutor(40) as threads:
            calls = [threads.submit(post_of, group) for group in [*groups] * 20]
            wait_until(lambda: f'waiting_calls{{pool="{MODEL}"}} 40.0' in httpx.get(f"{url}/metrics").text)
            may_begin.set()
            assert {call.result() for call in calls} == {200}
    # 10 without weights. Calls that start at nearly the same time may arrive in another order
    assert bedrock.groups[:20].count(next(iter(groups))) >= 14, bedrock.groups
