"""Sessions of the console: cookies that are signed and hold no secret.

A session belongs to the credential with which it began, and ends with it: the cookie holds a proof of the secret, which
is compared with the live secrets at each request. After a sign-out its id is refused until it would have expired.
"""

import base64
import hashlib
import hmac
import secrets
import time
from typing import Literal

from msgspec import Struct

from app.config.settings import Settings
from app.wire import json

# a working day
SESSION_SECONDS = 12 * 3600
_MAX_COOKIE = 1024

Kind = Literal["admin", "key", "virtual_key", "anyone"]


class Session(Struct, frozen=True):
    """What a cookie says.

    kind: what its holder signed in with. name: of the administrator or the key. proof: of the secret.
    expires: seconds since the epoch.
    """

    id: str
    kind: Kind
    name: str
    proof: str
    expires: int


def new_session(kind: Kind, name: str, proof: str) -> Session:
    """Return a session with a new id, so that no id from before a sign-in is ever signed in."""
    return Session(secrets.token_urlsafe(16), kind, name, proof, int(time.time()) + SESSION_SECONDS)


class SessionSigner(Struct, frozen=True):
    """Signs and reads cookies. key: the same in every process and replica."""

    key: bytes

    def sign(self, session: Session) -> str:
        """Return the value of the cookie."""
        payload = json.dumps([session.id, session.kind, session.name, session.proof, session.expires])
        return f"{_encode(payload)}.{self._mac('session', payload)}"

    def read(self, cookie: str) -> Session | None:
        """Return the session of a cookie, or None if its signature is wrong or it has expired."""
        text, _, mac = cookie.partition(".")
        if len(cookie) > _MAX_COOKIE or not cookie.isascii():
            return None
        try:
            payload = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        if not hmac.compare_digest(mac, self._mac("session", payload)):
            return None
        session = Session(*json.loads(payload))
        return session if time.time() < session.expires else None

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
