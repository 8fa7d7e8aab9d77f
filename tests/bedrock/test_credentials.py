"""Credentials: resolved off the event loop, refreshed ahead, asked for afresh when Bedrock refuses them."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from app import errors
from app.bedrock import credentials as module
from app.bedrock.credentials import BearerToken, Credentials, CredentialsProvider, make_resolver
from app.settings import Settings


def settings(**values: Any) -> Settings:
    return Settings(aws_region="us-east-1", bedrock_model_id="m", auth_disabled=True, **values)


@asynccontextmanager
async def running(resolver: Any) -> AsyncIterator[CredentialsProvider]:
    provider = CredentialsProvider(resolver)
    provider.start()
    try:
        yield provider
    finally:
        await provider.close()


@pytest.mark.timed
async def test_resolving_runs_in_a_thread_and_never_blocks_the_loop() -> None:
    release, threads = threading.Event(), []

    def resolver(afresh: bool) -> Credentials:
        threads.append(threading.current_thread())
        release.wait(5)
        return Credentials("a", "b")

    async with running(resolver) as provider:
        waiting = asyncio.create_task(provider.get())
        started = time.monotonic()
        await asyncio.sleep(0.05)
        assert time.monotonic() - started < 0.5
        assert not waiting.done()
        assert provider.problem == "not resolved yet"
        release.set()
        assert await waiting == Credentials("a", "b")
        assert provider.problem == ""
    assert threading.main_thread() not in threads


async def test_nobody_is_told_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    answers: list[Any] = [None, RuntimeError("chain broke"), Credentials("late", "s")]

    def resolver(afresh: bool) -> Credentials | None:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with running(resolver) as provider:
        with pytest.raises(errors.Overloaded, match="no AWS credentials") as caught:
            await provider.get()
        assert not caught.value.retry_here
        async with asyncio.timeout(5):
            while provider.problem:
                await asyncio.sleep(0.01)
        assert await provider.get() == Credentials("late", "s")


async def test_a_refused_identity_is_renewed_once_for_everybody() -> None:
    asked: list[bool] = []

    def resolver(afresh: bool) -> Credentials:
        asked.append(afresh)
        return Credentials(f"key{len(asked)}", "s")

    async with running(resolver) as provider:
        old = await provider.get()
        await asyncio.gather(*(provider.renew(old) for _ in range(20)))
        new = await provider.get()
        assert (old, new) == (Credentials("key1", "s"), Credentials("key2", "s"))
        await provider.renew(old)
        await provider.renew(new)
    assert asked == [False, True]


async def test_nobody_waits_for_long_where_the_chain_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "_REFRESH_SECONDS", 0)
    known, may_go_on = Credentials("key", "s"), threading.Event()
    asked = 0

    def resolver(afresh: bool) -> Credentials:
        nonlocal asked
        asked += 1
        if asked > 1:
            may_go_on.wait(10)
        return known

    async with running(resolver) as provider:
        assert await provider.get() == known
        while asked < 2:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await asyncio.gather(*(provider.renew(known) for _ in range(20)))
        assert await provider.get() == known
        assert not may_go_on.is_set()
        may_go_on.set()


async def test_credentials_are_renewed_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REFRESH_SECONDS", 0.01)
    count = 0

    def resolver(afresh: bool) -> Credentials:
        nonlocal count
        count += 1
        assert not afresh
        return Credentials(f"key{count}", "s")

    async with running(resolver) as provider:
        async with asyncio.timeout(5):
            while count < 3:
                await asyncio.sleep(0.01)
        assert (await provider.get()).access_key != "key1"  # type: ignore[union-attr]


def test_a_bearer_token_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert make_resolver(settings(aws_bearer_token_bedrock="tok"))(False) == BearerToken("tok")


def test_the_chain_reads_environment_and_profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert make_resolver(settings())(False) is None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    assert make_resolver(settings())(False) == Credentials("AKIA", "s", "t")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = one\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "team")
    resolver = make_resolver(settings())
    assert resolver(False) == Credentials("AKIATEAM", "one")
    file.write_text("[team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = two\n")
    assert resolver(False) == Credentials("AKIATEAM", "one")
    assert resolver(True) == Credentials("AKIATEAM", "two")


def test_the_chain_takes_a_web_identity_to_sts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("header.payload.signature")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/gateway")
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "outcrop")
    with mock_aws(), monkeypatch.context() as without_keys:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
            without_keys.delenv(name, raising=False)
        identity = make_resolver(settings())(False)
    assert isinstance(identity, Credentials)
    assert identity.access_key.startswith("ASIA")
    assert identity.token
