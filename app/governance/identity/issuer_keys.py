"""The public keys of an OIDC issuer, which are cached and looked up anew when a token names an unknown one."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK, PyJWTError

from app.bedrock.transport import Transport
from app.errors import Overloaded
from app.governance.identity.discovery import discover, read_object, url_in
from app.governance.identity.http_documents import NotFetched

_log = logging.getLogger(__name__)

# callers choose the key that a token names, so they must not choose how often the issuer is asked
_MIN_INTERVAL_SECONDS = 10.0
_FRESH_SECONDS = 300.0
# while the issuer cannot be reached
_USABLE_SECONDS = 3600.0
_FETCH_SECONDS = 5.0
# how long a request waits for keys
_WAIT_SECONDS = 1.5
_MAX_KEYS = 256
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}

KeyId = tuple[str, str]


class IssuerKeys:
    """Finds the key that a token names.

    Args:
        name: of the issuer, for the log. issuer: its URL.
        jwks_uri: where its keys are; empty if its discovery document tells.
        algorithms: those that are accepted. clock: seconds that never go back.
    """

    def __init__(
        self,
        name: str,
        issuer: str,
        jwks_uri: str,
        algorithms: Iterable[str],
        transport: Transport,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._issuer = issuer
        self._jwks_uri = jwks_uri
        self._algorithms = tuple(algorithms)
        self._transport = transport
        self._clock = clock
        self._keys: Mapping[KeyId, PyJWK] = {}
        self._read_at = -_USABLE_SECONDS
        self._next_at = -_USABLE_SECONDS
        self._reading: asyncio.Task[None] | None = None
        self.problem = ""

    async def find(self, key_id: str, algorithm: str) -> PyJWK | None:
        """Return the key of a token, or None if the issuer has none.

        Args:
            key_id: its `kid`; empty if it has none, which is enough where one key fits.

        Raises:
            Overloaded: the keys cannot be read.
        """
        key, age = self._known(key_id, algorithm), self._clock() - self._read_at
        if key is not None and age < _USABLE_SECONDS:
            if age >= _FRESH_SECONDS:
                self._begin()
            return key
        reading = self._begin()
        if reading is not None:
            await asyncio.wait({reading}, timeout=_WAIT_SECONDS)
        is_usable = self._clock() - self._read_at < _USABLE_SECONDS
        key = self._known(key_id, algorithm) if is_usable else None
        if key is None and (not is_usable or self.problem or (reading is not None and not reading.done())):
            raise self._unavailable()
        return key

    async def read(self) -> str:
        """Read the keys now; returns how many there are. Raises Overloaded: they cannot be read."""
        await self._read()
        if self.problem:
            raise self._unavailable()
        return f"keys: {len({key_id for key_id, _ in self._keys})}"

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _unavailable(self) -> Overloaded:
        return Overloaded(
            "the keys of the token's issuer cannot be read now: try again",
            detail=f"{self._name}: {self.problem or 'no answer yet'}",
            retry_after=_MIN_INTERVAL_SECONDS,
        )

    def _known(self, key_id: str, algorithm: str) -> PyJWK | None:
        if key_id:
            return self._keys.get((key_id, algorithm))
        fitting = [key for (_, name), key in self._keys.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _begin(self) -> "asyncio.Task[None] | None":
        """Return the task that reads the keys: one at a time, and one in some seconds. None if none may begin yet."""
        if self._reading is not None and not self._reading.done():
            return self._reading
        if self._clock() < self._next_at:
            return None
        self._next_at = self._clock() + _MIN_INTERVAL_SECONDS
        self._reading = asyncio.create_task(self._read(), name="issuer-keys")
        return self._reading

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                uri = self._jwks_uri or await self._discover()
                keys = _keys_of(await read_object(self._transport, uri, _FETCH_SECONDS), self._algorithms)
            if not keys:
                raise NotFetched("no key fits the accepted algorithms")
        except (NotFetched, TimeoutError) as error:
            reason = str(error) or f"no answer within {_FETCH_SECONDS:g} seconds"
            if not self.problem:
                _log.warning("the keys of an issuer cannot be read", extra={"fields": self._fields(reason)})
            self.problem = reason
            return
        if self.problem:
            _log.info("the keys of an issuer can be read again", extra={"fields": self._fields("")})
        self.problem, self._keys, self._read_at = "", keys, self._clock()

    def _fields(self, reason: str) -> dict[str, str]:
        return {"issuer": self._name, **({"reason": reason} if reason else {})}

    async def _discover(self) -> str:
        document = await discover(self._transport, self._issuer, _FETCH_SECONDS)
        return url_in(document, "jwks_uri", self._issuer)


def _keys_of(document: Mapping[str, Any], algorithms: Iterable[str]) -> dict[KeyId, PyJWK]:
    """Return the keys of a set (RFC 7517) by their id and algorithm.

    Keys that are not for signatures, or not public, are left out.
    """
    listed = document.get("keys")
    keys: dict[KeyId, PyJWK] = {}
    for row in listed[:_MAX_KEYS] if isinstance(listed, list) else ():
        if not isinstance(row, dict) or row.get("use", "sig") != "sig" or {"d", "k"} & row.keys():
            continue
        key_id = row.get("kid", "")
        for algorithm in algorithms:
            is_other_curve = algorithm in _CURVES and row.get("crv") != _CURVES[algorithm]
            if not isinstance(key_id, str) or row.get("alg", algorithm) != algorithm or is_other_curve:
                continue
            with contextlib.suppress(PyJWTError, UnsupportedAlgorithm, LookupError, ArithmeticError):
                keys.setdefault((key_id, algorithm), PyJWK(row, algorithm))
    return keys
