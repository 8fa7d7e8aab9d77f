"""Who the gateway is at AWS: botocore's chain, asked in a process of its own, ahead of need, never during a request.

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
from subprocess import DEVNULL, PIPE  # only numbers  # nosec B404
from typing import Any, TypedDict

from msgspec import Struct

from app.aws.botocore_data import chain_command
from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.config.entries import is_secret
from app.config.settings import Settings
from app.errors import Overloaded
from app.wire import json

_log = logging.getLogger(__name__)

_REFRESH_SECONDS = 60.0
_RETRY_SECONDS = 5.0
_RENEWAL_SECONDS = 5.0
# how long a request waits for the chain, whatever that is doing
_TIMEOUT_SECONDS = 15.0
# how long the chain may take: somebody may have to confirm something
_CHAIN_SECONDS = 60.0
# botocore refreshes what ends as long before that; what lives shorter, when a quarter of its life is left
_AHEAD_SECONDS = 900.0
_AHEAD_SHARE = 0.25
_LOOKS, _LOOK_SECONDS = 50, 0.01
# processes that ask botocore at once: each holds 35 MB for a tenth of a second
_AT_ONCE = 2


class Credentials(Struct, frozen=True):
    """AWS credentials at one moment."""

    access_key: str
    secret_key: str
    token: str | None = None


class BearerToken(Struct, frozen=True):
    """A Bedrock API key, which needs no signature."""

    token: str


Identity = Credentials | BearerToken


class Known(Struct, frozen=True):
    """An identity, and when it ends, in seconds since the epoch."""

    identity: Identity
    ends_at: float = math.inf


Resolver = Callable[[], Awaitable[Known | None]]


class ChainFailed(Exception):
    """The chain gave no answer; the message names what was raised, and quotes nothing."""


class CredentialsProvider:
    """Holds the present identity, and renews it in the background.

    Args:
        resolver: asks from the start, whoever it was that was known before; returns None if nobody is known.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._known: Known | None = None
        self.identity: Identity | None = None
        self._renew_at = 0.0
        self._resolving = asyncio.Lock()
        self._tried = asyncio.Event()
        self._renewed_at = -_RENEWAL_SECONDS
        self._task: asyncio.Task[None] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.problem = "not resolved yet"

    def start(self) -> None:
        """Begin to resolve, in the background, unless that has begun."""
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
        """The present identity; waits only while the very first resolution is under way.

        Raises:
            Overloaded: the chain knows no credentials.
        """
        if self._known is not None:
            return self._known.identity
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await self._tried.wait()
        if self._known is None:
            raise Overloaded("the gateway has no AWS credentials", retry_here=False, detail=self.problem)
        return self._known.identity

    async def renew(self, refused: Identity) -> None:
        """Bedrock refused this identity: ask the chain afresh, unless somebody just did; returns when that is done, or
        hangs for too long, and then it goes on without its caller.

        However many requests are refused, the chain is asked once in some seconds: its source may be a remote service.
        """
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(refused))
        await asyncio.wait([self._renewal], timeout=_TIMEOUT_SECONDS)

    async def _renew(self, refused: Identity) -> None:
        async with self._resolving:
            is_due = time.monotonic() - self._renewed_at >= _RENEWAL_SECONDS
            if self._known is not None and self._known.identity == refused and is_due:
                self._renewed_at = time.monotonic()
                await self._resolve()

    async def _keep_fresh(self) -> None:
        while True:
            async with self._resolving:
                if self.problem or time.time() >= self._renew_at:
                    await self._resolve()
            await asyncio.sleep(_RETRY_SECONDS if self._known is None else _REFRESH_SECONDS)

    async def _resolve(self) -> None:
        try:
            known = await self._resolver()
            if known is not None and not _can_be_sent(known.identity):
                raise ChainFailed("a key or a token has a space, a line's end, or what is not ASCII in it")
            self.problem = "" if known else "no AWS credentials found in the environment, profile or metadata"
        except ChainFailed as error:
            known = None
            self.problem = f"resolving AWS credentials failed: {error}"
        except Exception as error:  # noqa: BLE001 -- nothing may end the asking
            known = None
            self.problem = f"resolving AWS credentials failed: {type(error).__name__}"
        if known is None:
            _log.warning(self.problem)
        elif known != self._known:
            left = max(known.ends_at - time.time(), 0.0)
            self._known, self.identity = known, known.identity
            self._renew_at = known.ends_at - min(_AHEAD_SECONDS, left * _AHEAD_SHARE)
        self._tried.set()


def _can_be_sent(identity: Identity) -> bool:
    if isinstance(identity, BearerToken):
        return is_secret(identity.token)
    return all(is_secret(part) for part in (identity.access_key, identity.secret_key, identity.token) if part)


def make_providers(
    settings: Settings, locations: Iterable[UpstreamLocation]
) -> dict[UpstreamLocation, CredentialsProvider]:
    """Who the gateway is in each place: places without a role are asked of as one, and so are those of one role.

    However slow the roles are, the gateway's own credentials do not wait for them.
    """
    providers: dict[str, CredentialsProvider] = {}
    turns = asyncio.Semaphore(_AT_ONCE)
    for location in locations:
        if location.role not in providers:
            resolver = make_resolver(settings, location, turns) if location.role else make_resolver(settings)
            providers[location.role] = CredentialsProvider(resolver)
    return {location: providers[location.role] for location in locations}


def make_resolver(
    settings: Settings, location: UpstreamLocation = DEFAULT_LOCATION, turns: asyncio.Semaphore | None = None
) -> Resolver:
    """The resolver for a place: its role if it has one, else the bearer token if one is set, else botocore's chain.

    A bearer token wins over everything else at home, as it does in AWS's own SDKs.

    Args:
        turns: bounds how many ask botocore at once.

    Source: docs/reference/contracts/authentication.md#precedence-of-the-bearer-token
    """
    region = location.region or settings.aws_region
    turns = turns or asyncio.Semaphore(_AT_ONCE)
    if location.role:
        return lambda: _asked(turns, "role", region, location.role)
    if settings.aws_bearer_token_bedrock is not None:
        bearer = Known(BearerToken(settings.aws_bearer_token_bedrock.get_secret_value()))
        return lambda: _at_once(bearer)
    if (known := _in_environment(os.environ)) is not None:
        return lambda: _at_once(known)
    return lambda: _asked(turns, "identity", region)


async def _at_once(known: Known) -> Known:
    return known


def _in_environment(environment: Mapping[str, str]) -> Known | None:
    """The keys that botocore finds first, where they are whole and have no end; all else is for botocore to say."""
    access_key, secret_key = (environment.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    if not access_key or not secret_key or environment.get("AWS_CREDENTIAL_EXPIRATION"):
        return None
    token = environment.get("AWS_SECURITY_TOKEN", environment.get("AWS_SESSION_TOKEN"))
    return Known(Credentials(access_key, secret_key, token or None))


class _Said(TypedDict, total=False):
    access_key: str
    secret_key: str
    token: str | None
    ends_at: float | None
    fault: str


async def _asked(turns: asyncio.Semaphore, *question: str) -> Known | None:
    """What botocore's chain says. Raises ChainFailed."""
    try:
        async with turns:
            output = await _output_of(chain_command(*question))
        said = json.loads_as(output, _Said)
    except json.JsonError:
        raise ChainFailed("it ended without an answer") from None
    if "fault" in said:
        raise ChainFailed(said["fault"])
    if "access_key" not in said:
        return None
    end = said["ends_at"]
    return Known(
        Credentials(said["access_key"], said["secret_key"], said["token"] or None), math.inf if end is None else end
    )


async def _bury(group: int) -> None:
    """Take note of the end of those who are this process's own now, as all orphans are the first process's."""
    with contextlib.suppress(ChildProcessError):  # none of them is
        for _ in range(_LOOKS):
            pid, _ = os.waitpid(-group, os.WNOHANG)  # noqa: ASYNC222 -- it waits for nobody
            if not pid:
                await asyncio.sleep(_LOOK_SECONDS)


async def _output_of(command: list[str]) -> bytes:
    """What a command prints. Raises ChainFailed where it takes too long or cannot be started."""
    # a profile may ask for a code of whoever sits there
    is_asked = sys.stdin is not None and sys.stdin.isatty()
    options: dict[str, Any] = {} if is_asked else {"stdin": DEVNULL, "stderr": DEVNULL, "start_new_session": True}
    try:
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, **options)
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
                # with all that it has started itself
                os.kill(process.pid if is_asked else -process.pid, signal.SIGKILL)
            await process.wait()
            await _bury(process.pid)
    return output
