"""Who the gateway is at AWS: botocore's chain, resolved and refreshed in a thread, never during a request.

The chain covers environment, profiles, SSO, web identity, container and instance credentials. Asking botocore again
every minute costs nothing until its credentials come within fifteen minutes of their end, and refreshes them then.
Pain 1 (litellm#40165): resolving credentials on the event loop stalls every request.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.bedrock.endpoints import HOME, Place
from app.errors import Overloaded
from app.settings import Settings

_log = logging.getLogger(__name__)

_REFRESH_SECONDS = 60.0
_RETRY_SECONDS = 5.0
_RENEWAL_SECONDS = 5.0
# how long a request waits for the chain, whatever that is doing
_PATIENCE_SECONDS = 15.0
# botocore refreshes what it knows to end fifteen minutes ahead of that
_AHEAD_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS credentials at one moment."""

    access_key: str
    secret_key: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A Bedrock API key, which needs no signature."""

    token: str


Identity = Credentials | BearerToken
Resolver = Callable[[bool], Identity | None]


class CredentialsProvider:
    """Holds the present identity, and renews it in the background.

    Args:
        resolver: blocking, called in a thread; returns None if the chain knows nobody. Its argument is true where
            the chain must be asked afresh, because Bedrock refused what it gave last.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._identity: Identity | None = None
        self._resolving = asyncio.Lock()
        self._tried = asyncio.Event()
        self._renewed_at = -_RENEWAL_SECONDS
        self._task: asyncio.Task[None] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.problem = "not resolved yet"

    def start(self) -> None:
        """Begin to resolve, in the background."""
        self._task = asyncio.create_task(self._keep_fresh(), name="credentials")

    async def close(self) -> None:
        """Stop renewing."""
        running = [task for task in (self._task, self._renewal) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def get(self) -> Identity:
        """The present identity; waits only while the very first resolution is under way.

        Raises:
            Overloaded: the chain knows no credentials.
        """
        if self._identity is not None:
            return self._identity
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._tried.wait()
        if self._identity is None:
            raise Overloaded("the gateway has no AWS credentials", retry_here=False, detail=self.problem)
        return self._identity

    async def renew(self, refused: Identity) -> None:
        """Bedrock refused this identity: ask the chain afresh, unless somebody just did; returns when that is done, or
        hangs for too long, and then it goes on without its caller.

        However many requests are refused, the chain is asked once in some seconds: its source may be a remote service.
        """
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(refused))
        await asyncio.wait([self._renewal], timeout=_PATIENCE_SECONDS)

    async def _renew(self, refused: Identity) -> None:
        async with self._resolving:
            is_due = time.monotonic() - self._renewed_at >= _RENEWAL_SECONDS
            if self._identity == refused and is_due:
                self._renewed_at = time.monotonic()
                await self._resolve(afresh=True)

    async def _keep_fresh(self) -> None:
        while True:
            async with self._resolving:
                await self._resolve(afresh=False)
            await asyncio.sleep(_RETRY_SECONDS if self.problem else _REFRESH_SECONDS)

    async def _resolve(self, *, afresh: bool) -> None:
        try:
            identity = await asyncio.to_thread(self._resolver, afresh)
            self.problem = "" if identity else "no AWS credentials found in the environment, profile or metadata"
        except Exception as error:  # noqa: BLE001 -- botocore's providers raise what they like; any means: none
            identity = None
            self.problem = f"resolving AWS credentials failed: {type(error).__name__}"
        if identity is not None:
            self._identity = identity
        else:
            _log.warning(self.problem)
        self._tried.set()


def make_resolver(settings: Settings, place: Place = HOME) -> Resolver:
    """The resolver for a place: its role if it has one, else the bearer token if one is set, else botocore's chain.

    A bearer token wins over everything else at home, as it does in AWS's own SDKs (contracts 0.3).
    """
    if place.role:
        return _RoleResolver(place, settings.aws_region)
    if settings.aws_bearer_token_bedrock is not None:
        bearer = BearerToken(settings.aws_bearer_token_bedrock.get_secret_value())
        return lambda _afresh: bearer
    return _ChainResolver(settings.aws_region)


class _RoleResolver:
    """Assumes a role, and assumes it again ahead of its credentials' end."""

    def __init__(self, place: Place, region: str) -> None:
        self._place = place
        self._region = region
        self._credentials = Credentials("", "")
        self._renew_at = 0.0

    def __call__(self, afresh: bool) -> Identity | None:
        if afresh or time.time() >= self._renew_at:
            import botocore.session
            from botocore.config import Config

            region = self._place.region or self._region
            patience = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
            sts = botocore.session.Session().create_client("sts", region_name=region, config=patience)
            try:
                made = sts.assume_role(RoleArn=self._place.role, RoleSessionName="outcrop")["Credentials"]
            finally:
                sts.close()
            self._credentials = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
            self._renew_at = made["Expiration"].timestamp() - _AHEAD_SECONDS
        return self._credentials


class _ChainResolver:
    """Asks botocore's credential chain, and again from its start where it knew nobody, failed or was refused."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._credentials: Any = None

    def __call__(self, afresh: bool) -> Identity | None:
        # boto3's session asks this same chain, and costs 1.6 MB more for the life of the process (2026-11-25)
        import botocore.session

        if self._credentials is None or afresh:
            session = botocore.session.Session()
            session.set_config_variable("region", self._region)
            self._credentials = session.get_credentials()
        if self._credentials is None:
            return None
        try:
            frozen = self._credentials.get_frozen_credentials()
        except Exception:
            self._credentials = None
            raise
        if not frozen.access_key or not frozen.secret_key:
            return None
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
