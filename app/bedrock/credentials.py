"""The gateway's AWS credentials: resolved by botocore's chain in a subprocess, ahead of need, never during a request.

The chain covers environment, profiles, SSO, web identity, container and instance credentials.
Resolving credentials on the event loop would stall every request (litellm#40165).
"""

import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from subprocess import DEVNULL, PIPE  # constants  # nosec B404
from typing import TypedDict

from msgspec import Struct

from app.aws.botocore_data import chain_command
from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.config.entries import is_secret
from app.config.settings import Settings
from app.errors import CredentialsMissing
from app.wire import json

_log = logging.getLogger(__name__)

_REFRESH_SECONDS = 60.0
_RETRY_SECONDS = 5.0
_RENEWAL_SECONDS = 5.0
# how long a request waits for the chain
_TIMEOUT_SECONDS = 15.0
# how long the chain may take: a user may have to confirm a login
_CHAIN_SECONDS = 60.0
# as botocore: renew this long before the expiry, or when a quarter of a shorter life is left
_RENEW_BEFORE_SECONDS = 900.0
_RENEW_BEFORE_SHARE = 0.25
_REAP_TRIES, _REAP_SECONDS = 50, 0.01
# of the chain at once: each takes 35 MB for a tenth of a second
_MAX_PROCESSES = 2


class Credentials(Struct, frozen=True):
    """AWS credentials at one moment."""

    access_key: str
    secret_key: str
    token: str | None = None


class BearerToken(Struct, frozen=True):
    """A Bedrock API key, which is sent instead of a signature."""

    token: str


Identity = Credentials | BearerToken


class Resolved(Struct, frozen=True):
    """An identity, and when it expires, in seconds since the epoch."""

    identity: Identity
    ends_at: float = math.inf


Resolver = Callable[[], Awaitable[Resolved | None]]


class ChainFailed(Exception):
    """Resolving failed. The message names the type of the error, and quotes nothing."""


class CredentialsProvider:
    """Holds the current identity, and renews it in the background.

    identity: None until it is resolved. problem: why there is no new identity, or an empty string.

    Args:
        resolver: resolves the identity anew; returns None if there are no credentials.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._resolved: Resolved | None = None
        self.identity: Identity | None = None
        self._renew_at = 0.0
        self._resolving = asyncio.Lock()
        self._tried = asyncio.Event()
        self._renewed_at = -_RENEWAL_SECONDS
        self._task: asyncio.Task[None] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.problem = "not resolved yet"

    @property
    def obstacle(self) -> str:
        """Why calls cannot be signed now; empty while the identity is valid, though it could not be renewed."""
        return "" if self._resolved is not None and time.time() < self._resolved.ends_at else self.problem

    def start(self) -> None:
        """Start to resolve in the background, once."""
        if self._task is not None:
            return
        self._task = asyncio.create_task(self._keep_fresh(), name="credentials")

    async def close(self) -> None:
        """Stop renewing."""
        running = [task for task in (self._task, self._renewal) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._task = self._renewal = None

    async def get(self) -> Identity:
        """Return the current identity; waits while the first resolution is under way.

        Raises:
            CredentialsMissing: there are none.
        """
        if self._resolved is not None:
            return self._resolved.identity
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await self._tried.wait()
        if self._resolved is None:
            raise CredentialsMissing("the gateway has no AWS credentials", detail=self.problem)
        return self._resolved.identity

    async def renew(self, refused: Identity) -> None:
        """Resolve anew after Bedrock refused an identity, and wait for that; a resolution that hangs goes on alone.

        However many requests are refused, there is one resolution in some seconds: it may call a remote service.
        """
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(refused))
        await asyncio.wait([self._renewal], timeout=_TIMEOUT_SECONDS)

    async def _renew(self, refused: Identity) -> None:
        async with self._resolving:
            is_due = time.monotonic() - self._renewed_at >= _RENEWAL_SECONDS
            if self._resolved is not None and self._resolved.identity == refused and is_due:
                self._renewed_at = time.monotonic()
                await self._resolve()

    async def _keep_fresh(self) -> None:
        while True:
            async with self._resolving:
                if self.problem or time.time() >= self._renew_at:
                    await self._resolve()
            await asyncio.sleep(_RETRY_SECONDS if self._resolved is None else _REFRESH_SECONDS)

    async def _resolve(self) -> None:
        try:
            resolved = await self._resolver()
            if resolved is not None and not _can_be_sent(resolved.identity):
                raise ChainFailed("a key or a token contains a space, a line break or a character that is not ASCII")
            self.problem = "" if resolved else "no AWS credentials found in the environment, profile or metadata"
        except ChainFailed as error:
            resolved = None
            self.problem = f"resolving AWS credentials failed: {error}"
        except Exception as error:  # noqa: BLE001 -- the background task must go on
            resolved = None
            self.problem = f"resolving AWS credentials failed: {type(error).__name__}"
        if resolved is None:
            _log.warning(self.problem)
        elif resolved != self._resolved:
            left = max(resolved.ends_at - time.time(), 0.0)
            self._resolved, self.identity = resolved, resolved.identity
            self._renew_at = resolved.ends_at - min(_RENEW_BEFORE_SECONDS, left * _RENEW_BEFORE_SHARE)
        self._tried.set()


def _can_be_sent(identity: Identity) -> bool:
    if isinstance(identity, BearerToken):
        return is_secret(identity.token)
    return all(is_secret(part) for part in (identity.access_key, identity.secret_key, identity.token) if part)


def make_providers(
    settings: Settings, locations: Iterable[UpstreamLocation]
) -> dict[UpstreamLocation, CredentialsProvider]:
    """Make the provider of each location. Locations without a role share one, and so do those with the same role.

    The gateway's own credentials do not wait for those of roles.
    """
    providers: dict[str, CredentialsProvider] = {}
    processes = asyncio.Semaphore(_MAX_PROCESSES)
    for location in locations:
        if location.role not in providers:
            resolver = make_resolver(settings, location, processes) if location.role else make_resolver(settings)
            providers[location.role] = CredentialsProvider(resolver)
    return {location: providers[location.role] for location in locations}


def make_resolver(
    settings: Settings, location: UpstreamLocation = DEFAULT_LOCATION, processes: asyncio.Semaphore | None = None
) -> Resolver:
    """Make the resolver of a location: its role if it has one, else the bearer token if one is set, else the chain.

    A bearer token precedes all other credentials of the gateway's own, as in AWS's SDKs.

    Args:
        processes: bounds the subprocesses at once.

    Source: docs/reference/contracts/authentication.md#precedence-of-the-bearer-token
    """
    region = location.region or settings.aws_region
    processes = processes or asyncio.Semaphore(_MAX_PROCESSES)
    if location.role:
        return lambda: _run_chain(processes, "role", region, location.role)
    if settings.aws_bearer_token_bedrock is not None:
        bearer = Resolved(BearerToken(settings.aws_bearer_token_bedrock.get_secret_value()))
        return lambda: _immediately(bearer)
    if (resolved := _in_environment(os.environ)) is not None:
        return lambda: _immediately(resolved)
    return lambda: _run_chain(processes, "identity", region)


async def _immediately(resolved: Resolved) -> Resolved:
    return resolved


def _in_environment(environment: Mapping[str, str]) -> Resolved | None:
    """Return the keys in the environment, which botocore looks up first, if they are complete and do not expire."""
    access_key, secret_key = (environment.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    if not access_key or not secret_key or environment.get("AWS_CREDENTIAL_EXPIRATION"):
        return None
    token = environment.get("AWS_SECURITY_TOKEN", environment.get("AWS_SESSION_TOKEN"))
    return Resolved(Credentials(access_key, secret_key, token or None))


class _Output(TypedDict, total=False):
    access_key: str
    secret_key: str
    token: str | None
    ends_at: float | None
    fault: str


async def _run_chain(processes: asyncio.Semaphore, *arguments: str) -> Resolved | None:
    """Run botocore's chain. Raises ChainFailed."""
    try:
        async with processes:
            output = await _output_of(chain_command(*arguments))
        found = json.loads_as(output, _Output)
    except json.JsonError:
        raise ChainFailed("it ended without a result") from None
    if "fault" in found:
        raise ChainFailed(found["fault"])
    if "access_key" not in found:
        return None
    end = found["ends_at"]
    return Resolved(
        Credentials(found["access_key"], found["secret_key"], found["token"] or None), math.inf if end is None else end
    )


async def _reap(group: int) -> None:
    """Reap the processes of a group that are children of this one: the first process of a container adopts orphans."""
    with contextlib.suppress(ChildProcessError):  # there are none
        for _ in range(_REAP_TRIES):
            pid, _ = os.waitpid(-group, os.WNOHANG)  # noqa: ASYNC222 -- it does not block
            if not pid:
                await asyncio.sleep(_REAP_SECONDS)


async def _output_of(command: list[str]) -> bytes:
    """Return what a command prints. Raises ChainFailed: it takes too long or cannot be started."""
    # on a terminal, a profile may ask the user for a code
    is_interactive = sys.stdin is not None and sys.stdin.isatty()
    unused = None if is_interactive else DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=unused, stdout=PIPE, stderr=unused, start_new_session=not is_interactive
        )
    except OSError as error:
        raise ChainFailed(type(error).__name__) from None
    try:
        async with asyncio.timeout(_CHAIN_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise ChainFailed(f"it took more than {_CHAIN_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # the process and all its children
                os.kill(process.pid if is_interactive else -process.pid, signal.SIGKILL)
            await process.wait()
            await _reap(process.pid)
    return output
