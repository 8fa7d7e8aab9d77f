"""Routes over sockets: failover between two upstreams in every dialect, and models behind ARNs."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import boto3
import httpx
import openai
import pytest
from moto import mock_aws

from app.aws import credential_chain
from app.composition.deployment import planner_of
from app.config.settings import SettingsError
from app.wire import json
from tests.end_to_end.conftest import Records, boto_client
from tests.servers import (
    KEY,
    NOWHERE,
    HoldingBedrock,
    emulator_app,
    gateway,
    gateway_settings,
    http_reply,
    read_request,
    serving,
    upstream,
)

HEADERS = {"x-api-key": KEY}
HELLO: Any = [{"role": "user", "content": "hi"}]
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
ECHO = "scripted.echo-v1:0"
PROFILE = f"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/{CLAUDE}"


@contextlib.contextmanager
def routed(tmp_path: Path, *targets: str, records: Records | None = None, **settings: Any) -> Iterator[str]:
    """Run a gateway with a route `smart`; yield its base URL.

    targets: members of TOML tables, in which BEDROCK stands for the URL of the embedded Bedrock.
    """
    path = tmp_path / "outcrop.toml"
    with serving(emulator_app()) as bedrock:
        rows = ", ".join(f"{{ {target.replace('BEDROCK', bedrock)} }}" for target in targets)
        path.write_text(f"[routes.smart]\ntargets = [{rows}]\n")
        with gateway(bedrock, records, config_file=path, **settings) as url:
            yield url


UNREACHABLE = f'endpoint_url = "{NOWHERE}"'


@pytest.mark.parametrize("model", [ECHO, CLAUDE])
def test_failover_from_an_unreachable_region_succeeds_in_every_dialect(tmp_path: Path, model: str) -> None:
    records = Records()
    targets = f'model = "{model}", region = "us-west-2", {UNREACHABLE}', f'model = "{model}"'
    with routed(tmp_path, *targets, records=records, breaker_failures=0) as url:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            chat = client.chat.completions.create(model="smart", messages=HELLO)
            assert (chat.model, chat.choices[0].message.content) == ("smart", "hi")
            chunks = list(client.chat.completions.create(model="smart", messages=HELLO, stream=True))
            assert "".join(each.choices[0].delta.content or "" for each in chunks) == "hi"
            assert client.responses.create(model="smart", input="hi").output_text == "hi"
        with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as claude:
            message: Any = claude.messages.create(model="smart", max_tokens=9, messages=HELLO)
            assert (message.model, message.content[0].text) == ("smart", "hi")
            with claude.messages.stream(model="smart", max_tokens=9, messages=HELLO) as stream:
                assert stream.get_final_text() == "hi"
        with boto_client(url) as runtime:
            question = [{"role": "user", "content": [{"text": "hi"}]}]
            reply = runtime.converse(modelId="smart", messages=question)
            assert reply["output"]["message"]["content"][0]["text"] == "hi"
            events = list(runtime.converse_stream(modelId="smart", messages=question)["stream"])
            assert "metadata" in events[-1]
    assert [(record.status, record.attempts) for record in records.all if record.dialect] == [(200, 2)] * 7


def test_native_call_fails_over_to_a_translated_target_unless_content_would_be_lost(tmp_path: Path) -> None:
    records = Records()
    targets = f'model = "{CLAUDE}.throttle-99"', f'model = "{ECHO}"'
    server_tool: Any = {"type": "bash_20250124", "name": "bash"}
    with routed(tmp_path, *targets, records=records) as url:
        with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
            message: Any = client.messages.create(model="smart", max_tokens=9, messages=HELLO)
            assert message.content[0].text == "hi"
            with pytest.raises(anthropic.RateLimitError):
                client.messages.create(model="smart", max_tokens=9, messages=HELLO, tools=[server_tool])
    first, second = [record for record in records.all if record.dialect]
    assert (first.mode, first.surface, first.target, first.attempts) == ("translated", "converse", ECHO, 2)
    assert second.error == "rate_limited"


@pytest.mark.parametrize("hint", ["eager_input_streaming", "defer_loading", "title"])
def test_native_tool_hints_are_ignored_after_failover(tmp_path: Path, hint: str) -> None:
    targets = f'model = "{CLAUDE}.throttle-99"', f'model = "{ECHO}"'
    tool = {"name": "look_up", "input_schema": {"type": "object"}, hint: "x" if hint == "title" else True}
    with routed(tmp_path, *targets) as url:
        body = {"model": "smart", "max_tokens": 9, "messages": HELLO, "tools": [tool]}
        answer = httpx.post(f"{url}/v1/messages", json=body, headers=HEADERS)
    assert (answer.status_code, answer.headers["x-outcrop-ignored"]) == (200, f"tools[0].{hint}")


def test_content_that_only_the_second_target_accepts_is_sent_there(tmp_path: Path) -> None:
    server_tool: Any = {"type": "bash_20250124", "name": "bash"}
    with routed(tmp_path, f'model = "{ECHO}"', f'model = "{CLAUDE}"') as url:
        with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
            message = client.messages.create(
                model="smart", max_tokens=99, messages=HELLO, tools=[server_tool], tool_choice={"type": "none"}
            )
            assert message.content


def test_embeddings_do_not_fail_over_to_another_model(tmp_path: Path) -> None:
    titan, cohere = "amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"
    with routed(tmp_path, f'model = "{titan}.throttle-99"', f'model = "{cohere}"') as url:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            with pytest.raises(openai.RateLimitError):
                client.embeddings.create(model="smart", input="x")


def test_failing_target_is_skipped_and_its_breaker_is_in_readiness(tmp_path: Path) -> None:
    records = Records()
    targets = f'model = "{ECHO}", region = "us-west-2", {UNREACHABLE}', f'model = "{ECHO}"'
    with routed(tmp_path, *targets, records=records, breaker_failures=2, breaker_seconds=30) as url:
        body = {"model": "smart", "messages": HELLO}
        for _ in range(4):
            assert httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS).status_code == 200
        ready = httpx.get(f"{url}/health/ready")
        assert (ready.status_code, ready.json()["breakers"]) == (200, {f"{ECHO} in us-west-2": "open"})
    recorded = [(each.attempts, each.has_moved) for each in records.all if each.route == "/v1/chat/completions"]
    assert recorded == [(2, True), (2, True), (1, True), (1, True)]


@pytest.mark.timed
def test_open_breaker_of_the_only_target_refuses_at_once() -> None:
    with gateway(NOWHERE, breaker_failures=3, breaker_seconds=30) as url:
        body = {"model": ECHO, "messages": HELLO}
        statuses = []
        for _ in range(3):
            started = time.monotonic()
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS)
            statuses.append(answer.status_code)
        assert time.monotonic() - started < 0.2
        assert statuses == [502, 503, 503]
        assert 1 < float(answer.headers["retry-after"]) <= 30


def test_model_of_an_application_profile_is_looked_up_before_the_call() -> None:
    with serving(emulator_app()) as bedrock, gateway(bedrock) as url:
        with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
            # the profile is one of a Claude, which is called in its native format
            assert client.messages.create(model=PROFILE, max_tokens=9, messages=HELLO).id.startswith("msg_bdrk_")


def test_slow_lookup_of_an_application_profile_does_not_delay_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.execution.executor._LOOKUP_SECONDS", 0.1)
    is_answered, called = asyncio.Event(), []
    profile = json.dumps({"models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}"}]})

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        called.append(head.split()[1].decode().rpartition("/")[2])
        match called[-1]:
            case "converse":
                is_answered.set()
                writer.write(HoldingBedrock.REPLY)
            case "invoke":
                writer.write(http_reply(b'{"type":"message","content":[]}'))
            case _:
                await is_answered.wait()
                writer.write(http_reply(profile))
        await writer.drain()

    body = {"model": PROFILE, "max_tokens": 9, "messages": HELLO}
    with upstream(handle) as bedrock, gateway(bedrock) as url:
        deadline = time.monotonic() + 30
        while "invoke" not in called and time.monotonic() < deadline:
            assert httpx.post(f"{url}/v1/messages", json=body, headers=HEADERS).status_code == 200
    lookup, first, *_, last = called
    assert (called.count(lookup), first, last) == (1, "converse", "invoke")


def test_configured_model_of_a_profile_needs_no_lookup(tmp_path: Path) -> None:
    arn = f"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/{CLAUDE}"
    called = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        called.append(head.split()[1].decode())
        writer.write(http_reply(b'{"type":"message","content":[]}'))
        await writer.drain()

    path = tmp_path / "outcrop.toml"
    path.write_text(f'[models."{arn}"]\nstands_for = "{CLAUDE}"\n')
    with upstream(handle) as bedrock, gateway(bedrock, config_file=path) as url:
        body = {"model": arn, "max_tokens": 9, "messages": HELLO}
        assert httpx.post(f"{url}/v1/messages", json=body, headers=HEADERS).status_code == 200
    assert [path.rpartition("/")[2] for path in called] == ["invoke"]


def test_role_in_another_account_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with mock_aws():
        credentials = credential_chain.run("role", "us-west-2", "arn:aws:iam::111122223333:role/outcrop")
        assert credentials["access_key"].startswith("ASIA")
        assert 0 < credentials["ends_at"] - time.time() <= 3600
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        keys = dict(
            zip(names, (credentials["access_key"], credentials["secret_key"], credentials["token"]), strict=True)
        )
        with contextlib.closing(boto3.client("sts", region_name="us-west-2", **keys)) as sts:
            assert sts.get_caller_identity()["Arn"].startswith("arn:aws:sts::111122223333:assumed-role/outcrop/")


def test_cost_depends_on_the_called_model_profile_and_tier() -> None:
    records = Records()
    sonnet, own = "anthropic.claude-sonnet-4-6", '[prices."scripted.echo-v1:0"]\ninput = 2.0\noutput = 3.0\n'
    with serving(emulator_app()) as bedrock, gateway(bedrock, records, config_toml=own) as url:
        for body in (
            {"model": sonnet, "messages": HELLO},
            {"model": f"global.{sonnet}", "messages": HELLO, "stream": True},
            {"model": ECHO, "messages": HELLO},
            {"model": "scripted.long-v1:0", "messages": HELLO},
            {"model": ECHO, "messages": HELLO, "service_tier": "flex"},
        ):
            assert httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS).status_code == 200
        body = {"max_tokens": 9, "messages": HELLO, "model": f"us.{sonnet}"}
        assert httpx.post(f"{url}/v1/messages", json=body, headers=HEADERS).status_code == 200
        question: Any = [{"role": "user", "content": [{"text": "hi"}]}]
        with boto_client(url) as runtime:
            runtime.converse(modelId=f"global.{sonnet}", messages=question)
            runtime.converse(modelId=ECHO, messages=question, serviceTier={"type": "priority"})
            list(runtime.converse_stream(modelId=ECHO, messages=question, serviceTier={"type": "flex"})["stream"])
            body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": HELLO})
            runtime.invoke_model(modelId=f"us.{sonnet}", body=body, serviceTier="priority")
            runtime.invoke_model(modelId=f"us.{sonnet}", body=body, performanceConfigLatency="optimized")
    recorded = [record for record in records.all if record.dialect]
    costs = [record.cost and record.cost * 1_000_000 for record in recorded]
    tokens = [(record.usage.input, record.usage.output) for record in recorded]
    regional, global_ = (3.3, 16.5), (3.0, 15.0)
    rates = [regional, global_, (2.0, 3.0), None, None, regional, global_, None, None, None, None]
    expected = [
        rate and sum(map(float.__mul__, map(float, counts), rate)) for counts, rate in zip(tokens, rates, strict=True)
    ]
    assert costs == pytest.approx(expected)
    assert [record.tier for record in recorded[4:]] == ["flex", "", "", "priority", "flex", "priority", "optimized"]


def test_passthrough_calls_of_an_application_profile_have_a_cost() -> None:
    records = Records()
    question: Any = [{"role": "user", "content": [{"text": "hi"}]}]
    own = f'[prices."{CLAUDE}"]\ninput = 2.0\noutput = 3.0\n'
    deadline = time.monotonic() + 30
    with (
        serving(emulator_app()) as bedrock,
        gateway(bedrock, records, config_toml=own) as url,
        boto_client(url) as runtime,
    ):
        while not (records.all and records.all[-1].cost) and time.monotonic() < deadline:
            runtime.converse(modelId=PROFILE, messages=question)
    last = records.all[-1]
    assert (last.mode, last.target) == ("passthrough", PROFILE)
    assert last.model_behind.endswith(f"/{CLAUDE}")
    assert last.cost == pytest.approx((2.0 * last.usage.input + 3.0 * last.usage.output) / 1e6)


@pytest.mark.parametrize("fault", ["throttle-9999", "denied-9999", "notfound-9999"])
def test_refusing_target_is_skipped_and_no_request_fails(tmp_path: Path, fault: str) -> None:
    records = Records()
    with routed(tmp_path, f'model = "{ECHO}.{fault}"', f'model = "{ECHO}"', records=records) as url:
        body = {"model": "smart", "messages": HELLO}
        with httpx.Client(base_url=url, headers=HEADERS) as client:
            statuses = {client.post("/v1/chat/completions", json=body).status_code for _ in range(80)}
    assert statuses == {200}
    # the open breaker moves it behind the other target
    assert sum(record.attempts == 2 for record in records.all) < 20


def test_parallel_embedding_calls_close_an_open_breaker() -> None:
    recovered: list[bool] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            body = b'{"embedding":[1.0],"inputTextTokenCount":1}' if recovered else b'{"message":"busy"}'
            writer.write(http_reply(body, "200 OK" if recovered else "503 Busy"))
            await writer.drain()

    settings = {"breaker_failures": 1, "breaker_seconds": 0.3, "bedrock_max_attempts": 1}
    with upstream(handle) as bedrock, gateway(bedrock, **settings) as url:
        texts = {"model": "amazon.titan-embed-text-v2:0", "input": ["a", "b", "c", "d"]}
        assert httpx.post(f"{url}/v1/embeddings", json=texts, headers=HEADERS).status_code == 503
        recovered.append(True)
        time.sleep(0.4)
        for _ in range(2):
            assert httpx.post(f"{url}/v1/embeddings", json=texts, headers=HEADERS).status_code == 200


def test_target_whose_role_cannot_be_assumed_fails_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
        writer.write(http_reply(body, "403 Forbidden", "text/xml", "connection: close\r\n"))
        await writer.drain()
        writer.close()

    role = 'role = "arn:aws:iam::111122223333:role/outcrop"'
    with upstream(refuse) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts)
        with routed(tmp_path, f'model = "{ECHO}", {role}', f'model = "{ECHO}"') as url:
            body = {"model": "smart", "messages": HELLO}
            assert httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS, timeout=30).status_code == 200
            ready = httpx.get(f"{url}/health/ready")
            assert (ready.status_code, ready.json()["reasons"]) == (200, [])


def test_gateway_is_ready_if_one_region_is_reachable(tmp_path: Path) -> None:
    path = tmp_path / "outcrop.toml"
    with serving(emulator_app()) as bedrock:
        path.write_text(
            f'[routes.smart]\ntargets = [{{ model = "{ECHO}" }}, '
            f'{{ model = "{ECHO}", region = "us-west-2", endpoint_url = "{bedrock}" }}]\n'
        )
        with gateway(NOWHERE, config_file=path) as url:
            body = {"model": "smart", "messages": HELLO}
            assert httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS).status_code == 200
            ready = httpx.get(f"{url}/health/ready")
    assert (ready.status_code, ready.json()["reasons"]) == (200, [])


@pytest.mark.parametrize(
    ("first", "locations"),
    [(f'region = "us-west-2", {UNREACHABLE}', [f"us-west-2 {NOWHERE}", ""]), (UNREACHABLE, [NOWHERE, ""])],
)
def test_attempts_of_one_model_are_recorded_with_their_location(
    tmp_path: Path, first: str, locations: list[str]
) -> None:
    records = Records()
    with routed(tmp_path, f'model = "{ECHO}", {first}', f'model = "{ECHO}"', records=records) as url:
        body = {"model": "smart", "messages": HELLO}
        assert httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS).status_code == 200
    (record,) = [record for record in records.all if record.dialect]
    assert (record.location, [each.location for each in record.tries]) == ("", locations)


def test_route_named_default_replaces_the_default_model(tmp_path: Path) -> None:
    titan = "amazon.titan-embed-text-v2:0"
    for model, path, body in (
        (ECHO, "/v1/chat/completions", {"messages": HELLO}),
        (ECHO, "/v1/responses", {"input": "hi"}),
        (ECHO, "/v1/messages", {"max_tokens": 9, "messages": HELLO}),
        (titan, "/v1/embeddings", {"input": "hi"}),
    ):
        own = f'[routes.default]\ntargets = [{{ model = "{model}" }}]\n'
        with serving(emulator_app()) as bedrock, gateway(bedrock, config_toml=own, bedrock_model_id="a.b") as url:
            answer = httpx.post(url + path, json=body, headers=HEADERS)
            assert (answer.status_code, answer.json()["model"]) == (200, model)


def test_native_request_with_a_server_tool_does_not_fail_over(tmp_path: Path) -> None:
    targets = 'model = "openai.gpt-oss-120b-1:0.throttle-99"', f'model = "{ECHO}"'
    with routed(tmp_path, *targets) as url:
        body: Any = {"model": "smart", "input": "hi", "tools": [{"type": "web_search"}]}
        assert httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS).status_code == 429
        del body["tools"]
        assert httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS).status_code == 200


PRICE = "input = 1.0\noutput = 1.0\n"
PROFILE_OF_AWS = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.a.b"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[aliases]\na = "arn:aws:s3:::x"', "aliases.a: the model's ARN is not one of Amazon Bedrock"),
        ('[aliases]\na = "b//c"', "aliases.a: the model's name must be"),
        (
            '[aliases]\na = "b"\n[routes.b]\ntargets = [{ model = "c.d" }]',
            "aliases.a: b is an alias or route of this deployment",
        ),
        ('[routes.a]\ntargets = [{ model = "default" }]', "routes.a.targets.0.model: default is an alias"),
        ('[models."x"]\nstands_for = "arn:aws:s3:::x"', "models.x.stands_for: the model's ARN"),
        ('[routes.a]\ntargets = [{ model = "b.c", region = "xx-nowhere-9" }]', "region: Bedrock is not known"),
        ('[routes.a]\ntargets = [{ model = "b.c", endpoint_url = "http://h:99999" }]', "endpoint_url: must be"),
        (
            f'[prices."us.a.b"]\n{PRICE}',
            "prices.us.a.b: a price is found by the base id of a model: write a.b",
        ),
        (f'[prices."global.a.b"]\n{PRICE}', "write a.b"),
        (f'[prices."{PROFILE_OF_AWS}"]\n{PRICE}', "write a.b"),
        (f'[aliases]\na = "us.b.c"\n[prices.a]\n{PRICE}', "prices.a: a price is found by the base id"),
        (
            f'[routes.fast]\ntargets = [{{ model = "a.b" }}]\n[prices.fast]\n{PRICE}',
            "prices.fast: a price is found by the base id of a model: write a.b",
        ),
        (f"[prices.default]\n{PRICE}", "prices.default: a price is found by the base id"),
        (f'[prices."arn:aws:s3:::x"]\n{PRICE}', "prices.arn:aws:s3:::x: the model's ARN is not one"),
        (f'[aliases]\n"scripted.echo-v1_0" = "b.c"\n[prices."b.c"]\n{PRICE}', ""),
        (f'[routes."b.c"]\ntargets = [{{ model = "us.b.c" }}]\n[prices."b.c"]\n{PRICE}', ""),
        (f'[aliases]\n"scripted.echo-v1_0" = "b.c"\n[prices."{PROFILE}"]\n{PRICE}', ""),
    ],
)
def test_invalid_names_fail_the_startup_with_their_path(text: str, fault: str) -> None:
    settings = gateway_settings("http://127.0.0.1:1", config_toml=text)
    if not fault:
        assert planner_of(settings).names() in (["scripted.echo-v1_0"], ["b.c"])
        return
    with pytest.raises(SettingsError) as caught:
        planner_of(settings)
    assert fault in caught.value.faults[0]


def test_default_model_cannot_be_an_alias() -> None:
    with pytest.raises(SettingsError, match="BEDROCK_MODEL_ID: mine is an alias or route"):
        planner_of(gateway_settings("http://127.0.0.1:1", model_aliases="mine=a.b", bedrock_model_id="mine"))


def test_embedding_model_is_a_model_or_an_alias() -> None:
    with pytest.raises(SettingsError, match="EMBEDDING_MODEL_ID: the model's ARN is not one"):
        planner_of(gateway_settings("http://127.0.0.1:1", embedding_model_id="arn:aws:s3:::x"))
    names = {"model_aliases": "_mine=a.b", "embedding_model_id": "_mine"}
    assert planner_of(gateway_settings("http://127.0.0.1:1", **names)).names() == ["_mine"]
