"""The output of `outcrop check`. test_command_line.py tests it as a process."""

import asyncio
import io
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.cli.check import run_check
from app.cli.models import list_models
from app.composition.gateway import build_gateway
from app.server.worker_context import WorkerContext
from tests.governance.oidc_issuer import running_issuer
from tests.programs import aws
from tests.servers import gateway_settings, http_reply, read_request, upstream

Check = Callable[[dict[str, str]], Awaitable[tuple[int, str]]]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that runs every step with environment variables, and returns the exit code and the output."""

    async def run(settings: dict[str, str]) -> tuple[int, str]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        out = io.StringIO()
        return await run_check(out), out.getvalue()

    return run


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"BEDROCK_MODEL_ID": ""}, ["FAIL  settings", "BEDROCK_MODEL_ID is not set"]),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            ["FAIL  credentials", "remedy: set AWS_PROFILE", "skip  list models", "skip  one-token call"],
        ),
        (
            {"BEDROCK_MODEL_ID": "scripted.echo-v1:0.denied"},
            ["ok    list models", "FAIL  one-token call", "remedy: the identity needs bedrock:InvokeModel"],
        ),
        ({"GUARDRAIL_ID": "nosuchguard"}, ["ok    list models", "FAIL  one-token call", "is not there (GUARDRAIL_ID)"]),
        (
            {"CONFIG_TOML": '[routes.default]\ntargets = [{ model = "scripted.echo-v1:0.denied" }]'},
            ["ok    list models", "FAIL  one-token call", "a route called default"],
        ),
        (
            {"BEDROCK_READTIMEOUT": "5", "GUARDRAIL_ID": "nosuchguard"},
            ["BEDROCK_READTIMEOUT is not a setting and has no effect: did you mean BEDROCK_READ_TIMEOUT?"],
        ),
        (
            {"CONFIG_TOML": '[quotas."claude-sonnet-4-5"]\ntokens_per_minute = 5', "GUARDRAIL_ID": "nosuchguard"},
            ["quotas.claude-sonnet-4-5: has no effect, as Bedrock knows no short names"],
        ),
        ({"EMBEDDING_MODEL_ID": "scripted.echo-v1:0"}, ["ok    one-token call", "FAIL  embedding"]),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            ["FAIL  list models", "Bedrock could not be reached", "remedy: check the network"],
        ),
        (
            {"AWS_SECRET_ACCESS_KEY": "wrong"},
            ["FAIL  list models", "InvalidSignatureException: ", "remedy: check the keys"],
        ),
        (
            {"BEDROCK_MODEL_ID": "scripted.nobody-v1:0"},
            ["FAIL  one-token call", "remedy: name a model or an inference"],
        ),
        ({"BEDROCK_MODEL_ID": "scripted.echo-v1:0.throttle"}, ["FAIL  one-token call", "remedy: Bedrock throttles"]),
    ],
)
async def test_failed_steps_are_reported_with_a_remedy(
    check: Check, emulator_url: str, change: dict[str, str], expected: list[str]
) -> None:
    code, output = await check(aws(emulator_url) | change)
    assert code == 1
    assert [each for each in expected if each not in output] == []


@pytest.mark.parametrize("answer", ["[]", "{}", "<html>"])
async def test_malformed_bedrock_responses_are_reported_as_a_failure(check: Check, answer: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(answer.encode()))
        await writer.drain()
        writer.close()

    with upstream(handle) as url:
        code, output = await check(aws(url))
    assert code == 1
    assert "FAIL  one-token call" in output


FILE = """\
[aliases]
fast = "us.anthropic.cluade-sonnet-5"
lite = "amazon.nova-lite-v1:0"
vectors = "amazon.titan-embed-text-v2:0"
ranks = "cohere.rerank-v3-5:0"
pictures = "amazon.nova-canvas-v1:0"

[routes.smart]
targets = [
    { model = "us.anthropic.claude-sonnet-5" },
    { model = "us.anthropic.claude-sonet-5", endpoint_url = "http://127.0.0.1:9" },
    { model = "amazon.nova-pro-v1:0", role = "arn:aws:iam::111122223333:role/outcrop" },
]

[[routes.other.targets]]
model = "amazon.nova-lite-v1:0"

[[routes.other.targets]]
model = "scripted.echo-v1:0.denied"

[limits."us.anthropic.cluade-sonnet-5"]
total = 5

[limits."amazon.titan-embed-text-v2:0"]
total = 5

[quotas."us.anthropic.claude-sonet-5"]
tokens_per_minute = 5
"""


@pytest.fixture
def steps(emulator_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[Any]]:
    """Return a function that checks a configuration file, and returns the exit code and the steps by name."""

    async def run(text: str, **settings: str) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "outcrop.toml"
        file.write_text(text)
        for name, value in {**aws(emulator_url), "CONFIG_FILE": str(file), **settings}.items():
            monkeypatch.setenv(name, value)
        out = io.StringIO()
        code = await run_check(out, is_json=True)
        document = json.loads(out.getvalue())
        assert document["ok"] is (code == 0)
        return code, {step["step"]: step for step in document["steps"]}

    return run


async def test_each_alias_and_each_target_of_a_route_is_called(steps: Callable[..., Awaitable[Any]]) -> None:
    code, found = await steps(FILE)
    assert code == 1
    assert {name: step["status"] for name, step in found.items()} == {
        "settings": "ok",
        "credentials": "ok",
        "credentials 111122223333": "failed",
        "list models": "ok",
        "one-token call": "ok",
        "alias fast": "failed",
        "alias lite": "ok",
        "alias vectors": "ok",
        "alias ranks": "ok",
        "alias pictures": "skipped",
        "route smart 1": "ok",
        "route smart 2": "failed",
        "route smart 3": "skipped",
        "route other 1": "ok",
        "route other 2": "failed",
        "limits, prices, quotas": "ok",
    }
    fast = found["alias fast"]
    assert "no model 'us.anthropic.cluade-sonnet-5'; did you mean 'us.anthropic.claude-sonnet-5'?" in (
        fast["message"].replace("us-east-1 has ", "")
    )
    assert fast["entry"].endswith("outcrop.toml': line 2: aliases.fast")
    assert "1024 dimensions" in found["alias vectors"]["message"]
    assert "2 scores" in found["alias ranks"]["message"]
    assert "could not be reached" in found["route smart 2"]["message"]
    assert found["route smart 2"]["entry"].endswith("line 11: routes.smart.targets.1.model")
    assert found["route smart 3"]["message"] == "needs credentials"
    assert "sts:AssumeRole" in found["credentials 111122223333"]["remedy"]
    assert found["route other 2"]["entry"].endswith("line 19: routes.other.targets.1.model")
    assert "bedrock:InvokeModel on scripted.echo-v1:0.denied" in found["route other 2"]["remedy"]
    warning, of_quota = found["limits, prices, quotas"]["notes"]
    assert "line 21: limits.us.anthropic.cluade-sonnet-5: " in warning
    assert "line 27: quotas.us.anthropic.claude-sonet-5: " in of_quota
    assert "did you mean 'us.anthropic.claude-sonnet-5'?" in warning


async def test_names_that_share_a_model_share_a_call(
    steps: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.execution.executor import Executor

    called: list[str] = []
    run = Executor.run

    async def counted(self: Executor, context: Any, name: str, *rest: Any) -> Any:
        called.append(name)
        return await run(self, context, name, *rest)

    monkeypatch.setattr(Executor, "run", counted)
    code, found = await steps("", MODEL_ALIASES="a=scripted.echo-v1:0,b=scripted.echo-v1:0")
    assert code == 0
    assert called == ["", "a"]
    assert found["alias b"]["status"] == "ok"
    assert found["alias b"]["entry"] == "MODEL_ALIASES: b"


async def test_names_are_not_called_where_bedrock_cannot_be_reached(steps: Callable[..., Awaitable[Any]]) -> None:
    code, found = await steps('[aliases]\na = "us.c.d"', AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert code == 1
    assert (found["alias a"]["status"], found["alias a"]["message"]) == ("skipped", "needs Bedrock")


async def test_a_misspelled_default_model_gets_a_suggestion(check: Check, emulator_url: str) -> None:
    code, output = await check(aws(emulator_url) | {"BEDROCK_MODEL_ID": "us.anthropic.claude-sonet-5"})
    assert code == 1
    assert "did you mean 'us.anthropic.claude-sonnet-5'?" in output


async def test_faults_of_names_have_their_lines(check: Check, emulator_url: str) -> None:
    text = '[aliases]\nfast = "us.a.b"\n[routes.smart]\ntargets = [\n{ model = "fast" },\n{ model = "m", region = "eu-west-99" },\n]'
    code, output = await check(aws(emulator_url) | {"CONFIG_TOML": text, "MODEL_ALIASES": "quick=fast"})
    assert code == 1
    for words in (
        "CONFIG_TOML: line 5: routes.smart.targets.0.model: fast is an alias or route of this deployment",
        "CONFIG_TOML: line 6: routes.smart.targets.1.region: Bedrock is not known in eu-west-99; did you mean eu-west-",
        "MODEL_ALIASES: quick: fast is an alias or route",
    ):
        assert words in output


async def test_models_lists_names_with_their_targets_and_the_models_of_the_region(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws(emulator_url).items():
        monkeypatch.setenv(name, value)
    text = '[routes.smart]\ntargets = [{ model = "us.a.b" }, { model = "c.d", region = "us-west-2" }]'
    given = {"config_toml": text, "model_aliases": "fast=amazon.nova-lite-v1:0"}
    out = io.StringIO()
    assert await list_models(build_gateway(gateway_settings(emulator_url, **given), WorkerContext()), out) == 0
    lines = out.getvalue().splitlines()
    rows = [line.split(maxsplit=1) for line in lines]
    assert rows[:3] == [
        ["default", "scripted.echo-v1:0"],
        ["fast", "amazon.nova-lite-v1:0"],
        ["smart", "us.a.b, c.d in us-west-2"],
    ]
    assert ["claude-sonnet-5", "us.anthropic.claude-sonnet-5"] in rows
    assert "us.anthropic.claude-sonnet-5" in lines
    out = io.StringIO()
    nowhere = build_gateway(gateway_settings("http://127.0.0.1:9"), WorkerContext())
    assert await list_models(nowhere, out, is_json=True) == 1
    document = json.loads(out.getvalue())
    assert (document["names"], document["models"]) == ({"default": ["scripted.echo-v1:0"]}, [])
    assert "could not be reached" in document["error"]


@pytest.mark.database
async def test_calls_of_the_check_need_no_database(check: Check, emulator_url: str, tmp_path: Path) -> None:
    """The check runs beside gateways: it is not a replica, and its calls are not in the ledger."""
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/outcrop.db", "KEY_PEPPER": "p" * 32}
    code, output = await check({**aws(emulator_url), **database})
    assert (code, "ok    one-token call" in output) == (0, True)
    with closing(sqlite3.connect(tmp_path / "outcrop.db")) as connection:
        assert connection.execute("select name from sqlite_master").fetchall() == []


@pytest.mark.database
async def test_keys_of_issuers_are_read(check: Check, emulator_url: str, tmp_path: Path) -> None:
    rules = '[[identity.oidc.rules]]\nmatch = {}\nteam = "t"\n'
    with running_issuer() as issuer:
        rows = [
            f'[[identity.oidc]]\nname = "{name}"\nissuer = "{url}"\naudiences = ["a"]\nalgorithms = ["ES256"]\n{rules}'
            for name, url in (("good", issuer.url), ("down", "http://127.0.0.1:9"))
        ]
        database = {"DATABASE_URL": f"sqlite:///{tmp_path}/outcrop.db", "KEY_PEPPER": "p" * 32}
        code, output = await check({**aws(emulator_url), **database, "CONFIG_TOML": "".join(rows)})
    assert code == 1
    assert "ok    keys of issuer good" in output
    assert "FAIL  keys of issuer down" in output
    assert "remedy: check `issuer`, `jwks_uri`" in output
