"""An OIDC issuer on this machine, with keys that rotate and faults that tests switch on."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.servers import serving

AUDIENCE = "outcrop"
_RSA = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]


def issuer_tables(url: str, further: str = "") -> str:
    """Return the configuration of an issuer: groups `ml-*` are of the team `research`, `platform-admins` administer.

    Args:
        further: tables of the same issuer.
    """
    return f"""
[[identity.oidc]]
name = "corp"
issuer = "{url}"
audiences = ["{AUDIENCE}"]
algorithms = ["ES256"]
user_claim = "email"

[[identity.oidc.rules]]
match = {{ groups = "ml-*" }}
team = "research"

[[identity.oidc.rules]]
match = {{ groups = "platform-admins" }}
roles = ["admin"]
{further}"""


def new_key(algorithm: str, number: int = 0) -> Any:
    """Make a private key. RSA keys take a tenth of a second to make, so there are two."""
    if algorithm.startswith(("RS", "PS")):
        return _RSA[number % len(_RSA)]
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else ec.generate_private_key(ec.SECP256R1())


def jwk_of(key: Any, algorithm: str, **members: Any) -> dict[str, Any]:
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**public, "use": "sig", **members}


class Issuer:
    """Serves a discovery document and keys.

    url: of the issuer. requests: the paths that were asked for. delay: seconds before each answer.
    answer: status, headers and body of each answer, instead of the documents. discovery: changes of the document.
    """

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.url = ""
        self.requests: list[str] = []
        self.delay = 0.0
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.discovery: dict[str, Any] = {}
        self.jwks: list[dict[str, Any]] = []
        self.private: dict[str, Any] = {}
        self.rotate("first")

    def rotate(self, key_id: str) -> None:
        """Sign with a new key from now on; the former ones stay published."""
        self.private[key_id] = new_key(self.algorithm, len(self.private))
        self.jwks.append(jwk_of(self.private[key_id], self.algorithm, kid=key_id))
        self.current = key_id

    def token(
        self, *, headers: dict[str, Any] | None = None, key: Any = None, algorithm: str = "", **claims: Any
    ) -> str:
        """Make a token; a claim that is None is left out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600}
        merged = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(
            merged,
            key or self.private[self.current],
            algorithm or self.algorithm,
            {"kid": self.current, **(headers or {})},
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._run_lifespan(receive, send)
            return
        self.requests.append(scope["path"])
        await asyncio.sleep(self.delay)
        status, headers, body = self.answer or (
            200,
            {"content-type": "application/json"},
            self._document(scope["path"]),
        )
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    def _document(self, path: str) -> bytes:
        if path.endswith("/.well-known/openid-configuration"):
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.discovery}).encode()
        return json.dumps({"keys": self.jwks}).encode()

    async def _run_lifespan(self, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


@contextlib.contextmanager
def running_issuer(algorithm: str = "ES256") -> Iterator[Issuer]:
    issuer = Issuer(algorithm)
    with serving(issuer) as url:
        issuer.url = url
        yield issuer
