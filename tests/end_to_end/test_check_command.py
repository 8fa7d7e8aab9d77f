"""The output of `python -m app check`. test_command_line.py tests it as a process."""

import asyncio
import io
from collections.abc import Awaitable, Callable

import pytest

from app.cli.check import run_check
from tests.programs import aws
from tests.servers import http_reply, read_request, upstream

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

    with upstream(handle) as url:
        code, output = await check(aws(url))
    assert code == 1
    assert "FAIL  one-token call" in output
