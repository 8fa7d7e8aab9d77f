"""Sessions of the console: cookies that are signed and hold no secret.

A session belongs to the credential with which it began, and ends with it: the cookie holds a proof of the secret, which
is compared with the live secrets at each request. After a sign-out its id is refused until it would have expired.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, structs

from app.config.settings import Settings
from app.wire import json

# a working day
SESSION_SECONDS = 12 * 3600
# browsers take 4096 bytes, with the name
_MAX_COOKIE = 4000

Kind = Literal["admin", "key", "virtual_key", "anyone", "oidc"]


class CookieTooLarge(Exception):
    """Browsers would not keep it."""


class Session(Struct, frozen=True):
    """What a cookie says.

    kind: what its holder signed in with. name: of the administrator, the key or the issuer. proof: of the secret, or of
    what the configuration says of the issuer. expires: seconds since the epoch. identity: that the issuer confirmed.
    """

    id: str
    kind: Kind
    name: str
    proof: str
    expires: int
    identity: Mapping[str, Any] | None = None

    @property
    def has_expired(self) -> bool:
        """True once its time is over."""
        return time.time() >= self.expires


def new_session(
    kind: Kind, name: str, proof: str, seconds: int = SESSION_SECONDS, identity: Mapping[str, Any] | None = None
) -> Session:
    """Return a session with a new id, so that no id from before a sign-in is ever signed in."""
    return Session(secrets.token_urlsafe(16), kind, name, proof, int(time.time()) + seconds, identity)


class SessionSigner(Struct, frozen=True):
    """Signs and reads cookies. key: the same in every process and replica."""

    key: bytes

    def sign(self, session: Session) -> str:
        """Return the value of the cookie. Raises CookieTooLarge."""
        return self.sign_values("session", structs.astuple(session))

    def read(self, cookie: str) -> Session | None:
        """Return the session of a cookie, or None if its signature is wrong or it has expired."""
        session = self.read_any(cookie)
        return None if session is None or session.has_expired else session

    def read_any(self, cookie: str) -> Session | None:
        """Return the session of a cookie, which may have expired, or None if its signature is wrong."""
        values = self.read_values("session", cookie)
        return None if values is None else Session(*values)

    def sign_values(self, purpose: str, values: Sequence[object]) -> str:
        """Return a signed cookie. purpose: for which it can be read. Raises CookieTooLarge."""
        payload = json.dumps(values)
        cookie = f"{_encode(payload)}.{self._mac(purpose, payload)}"
        if len(cookie) > _MAX_COOKIE:
            raise CookieTooLarge
        return cookie

    def read_values(self, purpose: str, cookie: str) -> list[Any] | None:
        """Return what was signed; None if the signature is wrong."""
        text, _, mac = cookie.partition(".")
        if len(cookie) > _MAX_COOKIE or not cookie.isascii():
            return None
        try:
            payload = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        if not hmac.compare_digest(mac, self._mac(purpose, payload)):
            return None
        values: list[Any] = json.loads(payload)
        return values

    def proof(self, secret: str) -> str:
        """Return what a cookie holds of a secret. It does not reveal the secret, nor replace it."""
        return self._mac("proof", secret.encode("utf-8", "surrogateescape"))

    def proof_of_hash(self, stored: bytes) -> str:
        """Return what a cookie holds of a secret whose hash is in the database."""
        return self._mac("proof of hash", stored)

    def form_token(self, identifier: str) -> str:
        """Return the token that forms and scripts of a session must send, or those of a browser without a session."""
        return self._mac("form", identifier.encode())

    def _mac(self, purpose: str, payload: bytes) -> str:
        digest = hmac.digest(self.key, purpose.encode() + b"\0" + payload, "sha256")
        return _encode(digest)


def signer_of(settings: Settings) -> SessionSigner:
    """Return the signer of a deployment: its key follows from KEY_PEPPER, or else from all the keys that are set.

    Without any of them, sessions hold until the process ends.
    """
    material = settings.pepper()
    if not material:
        named = [*settings.keys().values(), *settings.administrators().values()]
        every = [secret for secrets_ in named for secret in secrets_]
        material = "\0".join(sorted(every)).encode() or settings.signing_secrets()("")[-1]
    return SessionSigner(hmac.digest(hashlib.sha256(material).digest(), b"sessions of the console", "sha256"))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
