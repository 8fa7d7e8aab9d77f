"""Credentials: resolved in a subprocess, renewed before they expire and when Bedrock refuses them."""

import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from app import errors
from app.aws import credential_chain
from app.aws.botocore_data import chain_command
from app.bedrock import credentials as module
from app.bedrock.credentials import (
    BearerToken,
    ChainFailed,
    Credentials,
    CredentialsProvider,
    Identity,
    Resolved,
    Resolver,
    make_providers,
    make_resolver,
)
from app.bedrock.endpoints import UpstreamLocation
from app.config.settings import Settings
from tests.servers import http_reply, read_request, upstream
from tests.waiting import until

pytestmark = pytest.mark.waits

ROOT = Path(__file__).parents[2]
ROLE = "arn:aws:iam::111122223333:role/outcrop"


def settings(**values: Any) -> Settings:
    return Settings(aws_region="us-east-1", bedrock_model_id="m", auth_disabled=True, **values)


def known(name: str, ends_in: float = math.inf) -> Resolved:
    return Resolved(Credentials(name, "s"), time.time() + ends_in)


def resolver_of(*answers: Resolved | Exception | None) -> tuple[Resolver, list[Resolved | Exception | None]]:
    """Make a resolver that returns each of `answers` in turn, then the last again; return it and what it returned."""
    given: list[Resolved | Exception | None] = []

    async def resolver() -> Resolved | None:
        answer = answers[min(len(given), len(answers) - 1)]
        given.append(answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return resolver, given


@asynccontextmanager
async def running(resolver: Resolver) -> AsyncIterator[CredentialsProvider]:
    provider = CredentialsProvider(resolver)
    provider.start()
    try:
        yield provider
    finally:
        await provider.close()


async def test_request_waits_for_the_first_resolution() -> None:
    may_go_on = asyncio.Event()

    async def resolver() -> Resolved:
        await may_go_on.wait()
        return known("a")

    async with running(resolver) as provider:
        waiting = asyncio.create_task(provider.get())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert provider.problem == "not resolved yet"
        may_go_on.set()
        assert await waiting == Credentials("a", "s")
        assert provider.problem == ""


async def test_missing_credentials_are_reported_and_resolved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    resolver, _ = resolver_of(None, ChainFailed("ProfileNotFound"), RuntimeError("odd"), known("late"))
    async with running(resolver) as provider:
        with pytest.raises(errors.CredentialsMissing, match="no AWS credentials") as caught:
            await provider.get()
        assert not caught.value.retry_here
        await until(lambda: not provider.problem)
        assert await provider.get() == Credentials("late", "s")


@pytest.mark.parametrize("identity", [Credentials("AKIA\n", "s"), Credentials("AKIA", "s", "t\n"), BearerToken("b\n")])
async def test_credentials_that_no_header_can_carry_are_refused(identity: Identity) -> None:
    resolver, _ = resolver_of(Resolved(identity))
    async with running(resolver) as provider:
        with pytest.raises(errors.CredentialsMissing, match="no AWS credentials") as caught:
            await provider.get()
        assert "a line break" in caught.value.detail
        assert provider.problem == caught.value.detail


async def test_refused_identity_is_renewed_once_for_all_requests() -> None:
    resolver, given = resolver_of(known("key1"), known("key2"))
    async with running(resolver) as provider:
        old = await provider.get()
        await asyncio.gather(*(provider.renew(old) for _ in range(20)))
        new = await provider.get()
        assert (old, new) == (Credentials("key1", "s"), Credentials("key2", "s"))
        await provider.renew(old)
        await provider.renew(new)
    assert len(given) == 2


async def test_hanging_chain_delays_requests_by_the_timeout_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 0.05)
    may_go_on, asked = asyncio.Event(), 0

    async def resolver() -> Resolved:
        nonlocal asked
        asked += 1
        if asked > 1:
            await may_go_on.wait()
        return known("key")

    async with running(resolver) as provider:
        first = await provider.get()
        async with asyncio.timeout(30):
            await asyncio.gather(*(provider.renew(first) for _ in range(20)))
        assert asked == 2
        assert await provider.get() == first


async def test_credentials_are_renewed_before_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REFRESH_SECONDS", 0.01)
    started = time.time()
    short = known("short", ends_in=0.4)
    resolver, given = resolver_of(short, short, ChainFailed("ConnectTimeoutError"), known("long", ends_in=3600))
    async with running(resolver) as provider:
        assert await provider.get() == Credentials("short", "s")
        await until(lambda: len(given) == 2)
        # at three quarters of its life, although the source has nothing new yet
        assert time.time() - started >= 0.3
        await until(lambda: len(given) == 4 and not provider.problem)
        assert await provider.get() == Credentials("long", "s")
        await asyncio.sleep(0.1)
    assert len(given) == 4


async def test_a_failed_renewal_is_an_obstacle_once_the_identity_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REFRESH_SECONDS", 0.01)
    resolver, _ = resolver_of(known("short", ends_in=1.2), ChainFailed("ConnectTimeoutError"))
    async with running(resolver) as provider:
        assert provider.obstacle == "not resolved yet"
        await until(lambda: provider.problem.endswith("ConnectTimeoutError"))
        assert provider.obstacle == ""
        await until(lambda: provider.obstacle == provider.problem)


async def test_failed_renewal_keeps_the_identity_and_reports_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REFRESH_SECONDS", 0.01)
    resolver, given = resolver_of(known("short", ends_in=0), ChainFailed("ConnectTimeoutError"))
    async with running(resolver) as provider:
        await until(lambda: len(given) > 2)
        assert provider.problem == "resolving AWS credentials failed: ConnectTimeoutError"
        assert await provider.get() == Credentials("short", "s")


def keys(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", **more}.items():
        monkeypatch.setenv(name, value)


async def test_bearer_token_precedes_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keys(monkeypatch)
    assert await make_resolver(settings(aws_bearer_token_bedrock="tok"))() == Resolved(BearerToken("tok"))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"AWS_SESSION_TOKEN": "t"},
        {"AWS_SECURITY_TOKEN": "old"},
        {"AWS_SESSION_TOKEN": "t", "AWS_SECURITY_TOKEN": "old"},
        {"AWS_SESSION_TOKEN": ""},
        {"AWS_CREDENTIAL_EXPIRATION": ""},
        {"AWS_CREDENTIAL_EXPIRATION": "2999-01-01T00:00:00Z"},
        {"AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_ACCESS_KEY_ID": ""},
    ],
    ids=str,
)
async def test_keys_in_the_environment_equal_what_botocore_finds(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    keys(monkeypatch, **more)
    assert await outcome(make_resolver(settings())()) == await outcome(resolve_by_botocore())


async def resolve_by_botocore() -> Resolved | None:
    try:
        said = credential_chain.run("identity", "us-east-1")
    except Exception as error:
        raise ChainFailed(type(error).__name__) from error
    if not said:
        return None
    return Resolved(
        Credentials(said["access_key"], said["secret_key"], said["token"] or None), said["ends_at"] or math.inf
    )


async def outcome(answer: Awaitable[Resolved | None]) -> Resolved | str | None:
    try:
        return await answer
    except ChainFailed as error:
        return str(error)


async def test_chain_reads_profiles_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert await make_resolver(settings())() is None
    file = tmp_path / "credentials"
    file.write_text("[team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = one\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "team")
    resolver = make_resolver(settings(aws_profile="team"))
    assert await resolver() == Resolved(Credentials("AKIATEAM", "one"))
    file.write_text("[team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = two\n")
    assert await resolver() == Resolved(Credentials("AKIATEAM", "two"))
    file.write_text("nonsense")
    with pytest.raises(ChainFailed, match=r"\AConfigParseError\Z"):
        await resolver()


@pytest.mark.loopback
async def test_chain_reads_container_credentials_and_their_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        assert b"authorization: let-me-in" in head.lower()
        writer.write(http_reply(json.dumps(given).encode()))
        await writer.drain()

    with upstream(handle) as container:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container}/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in")
        assert await make_resolver(settings())() == Resolved(Credentials("ASIA", "s", "t"), 32472144000)


async def test_hanging_chain_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pids, hanging = tmp_path / "pids", tmp_path / "hanging.py"
    hanging.write_text(
        f"import os, time\nopen({str(pids)!r}, 'w').write(f'{{os.getppid()}} {{os.getpid()}}')\ntime.sleep(60)"
    )
    file = tmp_path / "config"
    file.write_text(f"[default]\ncredential_process = {sys.executable} {hanging}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    for seconds in (3, 30):  # of which a busy machine may need the second to start both processes
        monkeypatch.setattr(module, "_CHAIN_SECONDS", seconds)
        with pytest.raises(ChainFailed, match=f"more than {seconds} s"):
            await make_resolver(settings())()
        if pids.exists() and pids.read_text():
            break
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    await until(lambda: not any(map(runs, started)))


async def test_chain_is_killed_when_the_provider_closes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pids, hanging = tmp_path / "pids", tmp_path / "hanging.py"
    hanging.write_text(f"import os, time\nopen({str(pids)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    file = tmp_path / "config"
    file.write_text(f"[default]\ncredential_process = {sys.executable} {hanging}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    async with running(make_resolver(settings())):
        await until(lambda: pids.exists() and pids.read_text())
        pid = int(pids.read_text())
        assert runs(pid)
    await until(lambda: not runs(pid))


ORPHANS = """
import asyncio, ctypes, os, sys
from app.bedrock import credentials
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: adopt orphans, as the first process of a container does
credentials._CHAIN_SECONDS = 1
credentials._REAP_TRIES = 3000
for _ in range(2):
    try:
        asyncio.run(credentials._output_of(["sh", "-c", "sleep 60 & sleep 60 & wait"]))
    except credentials.ChainFailed:
        pass
children = open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read()
assert children == "", children
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
def test_orphans_of_the_chain_are_reaped() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ORPHANS], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_locations_share_a_provider_unless_their_roles_differ() -> None:
    locations = [
        UpstreamLocation(),
        UpstreamLocation("us-west-2"),
        UpstreamLocation("us-east-2", ROLE),
        UpstreamLocation("eu-west-1", ROLE),
        UpstreamLocation("x", f"{ROLE}2"),
    ]
    providers = make_providers(settings(), locations)
    assert [*providers] == locations
    home, west, *with_role, other = providers.values()
    assert home is west
    assert with_role[0] is with_role[1]
    assert len({*providers.values()}) == 3
    assert home is not other


@pytest.mark.parametrize("has_keys", [True, False])
async def test_slow_roles_do_not_delay_the_gateways_own_credentials(
    monkeypatch: pytest.MonkeyPatch, has_keys: bool
) -> None:
    """Both with keys in the environment and with the chain."""
    if has_keys:
        keys(monkeypatch)

    async def asked(command: list[str]) -> bytes:
        if "role" in command:
            await asyncio.sleep(60)
        return b'{"access_key":"AKIA","secret_key":"s","token":null,"ends_at":null}'

    monkeypatch.setattr(module, "_output_of", asked)
    providers = make_providers(
        settings(), [*(UpstreamLocation("us-east-1", f"{ROLE}{number}") for number in range(4)), UpstreamLocation()]
    )
    for provider in providers.values():
        provider.start()
    try:
        async with asyncio.timeout(30):
            assert await providers[UpstreamLocation()].get() == Credentials("AKIA", "s")
    finally:
        for provider in providers.values():
            await provider.close()
    providers[UpstreamLocation()].start()
    await providers[UpstreamLocation()].close()


def runs(pid: int) -> bool:
    """True if there is such a process, and it is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([sys.executable, "-c", "raise SystemExit(1)"], "without a result"),
        ([sys.executable, "-c", "print('[]')"], "without a result"),
        ([os.devnull], "PermissionError"),
    ],
)
async def test_chain_without_output_is_reported(
    monkeypatch: pytest.MonkeyPatch, command: list[str], words: str
) -> None:
    monkeypatch.setattr(module, "chain_command", lambda *_: command)
    with pytest.raises(ChainFailed, match=words):
        await make_resolver(settings())()


def test_chain_exchanges_a_web_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("header.payload.signature")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/gateway")
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "outcrop")
    with mock_aws(), monkeypatch.context() as without_keys:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
            without_keys.delenv(name, raising=False)
        said = credential_chain.run("identity", "us-east-1")
    assert said["access_key"].startswith("ASIA")
    assert said["token"]
    assert said["ends_at"] > time.time()


async def test_location_with_a_role_assumes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def command(*question: str) -> list[str]:
        asked.append(question)
        return chain_command(*question)

    monkeypatch.setattr(module, "chain_command", command)
    keys(monkeypatch, AWS_ENDPOINT_URL_STS="http://127.0.0.1:9")
    with pytest.raises(ChainFailed, match="EndpointConnectionError"):
        await make_resolver(settings(), UpstreamLocation("us-west-2", ROLE))()
    with pytest.raises(ChainFailed, match="EndpointConnectionError"):
        await make_resolver(settings(), UpstreamLocation("", ROLE))()
    assert asked == [("role", "us-west-2", ROLE), ("role", "us-east-1", ROLE)]
