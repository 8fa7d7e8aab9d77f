"""Remembers verified tokens until they expire, so that a caller's next request waits for nothing."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from msgspec import Struct

from app.errors import AuthenticationFailed, GatewayError, Overloaded, PermissionRefused
from app.governance.identity.claim_rules import Identity

_MAX_TOKENS = 10_000
# a key that an issuer has withdrawn, and a role that has been deleted, count no longer than this
_MAX_SECONDS = 300.0
# as often as the keys of an issuer may be read: a token may be signed with a key that is published only then
_REFUSED_SECONDS = 10.0
# how long a request waits for an issuer or for STS. The verification goes on, and serves the next request
_WAIT_SECONDS = 1.8


class Verified(Struct, frozen=True):
    """An identity, and when its token expires, in seconds since the epoch."""

    identity: Identity
    ends_at: float


# what `outcrop check` tries, by name. It returns what it found, and raises a GatewayError
Checks = Mapping[str, Callable[[], Awaitable[str]]]


class TokenVerifier(Protocol):
    """Verifies tokens of one kind."""

    def accepts(self, token: str) -> bool:
        """True if a token has the form of this kind."""
        ...

    async def verify(self, token: str) -> Verified:
        """Verify a token.

        Raises:
            AuthenticationFailed: it is forged, expired or not for this gateway. PermissionRefused: no rule applies.
            Overloaded: it cannot be verified now.
        """
        ...

    def checks(self) -> Checks:
        """Return what shows whether tokens can be verified."""
        ...

    async def close(self) -> None:
        """Stop what runs in the background."""
        ...


class VerifiedTokens:
    """Verifies each token once, and remembers the outcome.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, verifiers: Sequence[TokenVerifier], clock: Callable[[], float] = time.time) -> None:
        self._verifiers = verifiers
        self._clock = clock
        # by digest; the one that was used least lately comes first
        self._outcomes: OrderedDict[bytes, tuple[Identity | GatewayError, float]] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[Identity]] = {}

    def accepts(self, token: str) -> bool:
        """True if a token has the form of one that can be verified."""
        return any(verifier.accepts(token) for verifier in self._verifiers)

    def checks(self) -> Iterator[tuple[str, Callable[[], Awaitable[str]]]]:
        """Yield what shows whether tokens can be verified, by name."""
        for verifier in self._verifiers:
            yield from verifier.checks().items()

    def find(self, digest: bytes) -> Identity | None:
        """Return the identity of a token that was verified; None if it has to be.

        Raises:
            AuthenticationFailed, PermissionRefused: it was refused a moment ago.
        """
        found = self._outcomes.get(digest)
        if found is None:
            return None
        outcome, ends_at = found
        if self._clock() >= ends_at:
            del self._outcomes[digest]
            return None
        self._outcomes.move_to_end(digest)
        if isinstance(outcome, GatewayError):
            raise outcome.replaced()
        return outcome

    async def verify(self, token: str, digest: bytes) -> Identity:
        """Verify a token. Concurrent requests with the same token share one verification.

        Raises:
            AuthenticationFailed, PermissionRefused, Overloaded: see `TokenVerifier.verify`.
        """
        known = self.find(digest)
        if known is not None:
            return known
        running = self._running.get(digest)
        if running is None:
            running = self._running[digest] = asyncio.create_task(self._verify(token, digest), name="token")
            running.add_done_callback(partial(self._end, digest))
        await asyncio.wait({running}, timeout=_WAIT_SECONDS)
        if not running.done():
            raise Overloaded("the token could not be verified in time: try again", detail="token")
        error = running.exception()
        if isinstance(error, GatewayError):
            raise error.replaced()
        return running.result()

    async def close(self) -> None:
        """Stop all verifications."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        for verifier in self._verifiers:
            await verifier.close()

    async def _verify(self, token: str, digest: bytes) -> Identity:
        verifier = next(verifier for verifier in self._verifiers if verifier.accepts(token))
        try:
            verified = await verifier.verify(token)
        except (AuthenticationFailed, PermissionRefused) as error:
            self._remember(digest, error.replaced(), self._clock() + _REFUSED_SECONDS)
            raise
        self._remember(digest, verified.identity, min(verified.ends_at, self._clock() + _MAX_SECONDS))
        return verified.identity

    def _end(self, digest: bytes, running: "asyncio.Task[Identity]") -> None:
        del self._running[digest]
        if not running.cancelled():
            running.exception()  # nobody may wait for it any more

    def _remember(self, digest: bytes, outcome: Identity | GatewayError, ends_at: float) -> None:
        self._outcomes[digest] = outcome, ends_at
        if len(self._outcomes) > _MAX_TOKENS:
            self._outcomes.popitem(last=False)
