"""Makes and checks the secrets of virtual keys: `oc_<id>_<random>`.

The random part ends with a code that only the holder of KEY_PEPPER can make, so a guess is recognized without the
database. As a key of SigV4, the access key id is the key's id, and the secret access key is the whole secret.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from functools import cached_property
from typing import TYPE_CHECKING

from app.storage.records import KeySecret
from app.wire.secret_text import ID_PATTERN

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_RANDOM_BYTES = 32
_CODE_BYTES = 8
_NONCE_BYTES = 12
# where a secret has the id of its key
ID_OF_SECRET = slice(3, 29)
_ID = re.compile(rf"{ID_PATTERN}\Z")
_SECRET = re.compile(rf"oc_({ID_PATTERN})_[a-z2-7]{{64}}\Z")
# what the keys that are derived from KEY_PEPPER are for
_CODE = b"outcrop: code of a secret\n"
_SIGNING = b"outcrop: secrets for SigV4"


def new_secret(key_id: str, pepper: bytes) -> tuple[str, KeySecret]:
    """Make a secret of a key. Returns it, and what is stored of it."""
    random = secrets.token_bytes(_RANDOM_BYTES)
    text = f"oc_{key_id}_{_encode(random + _code(key_id, random, pepper))}"
    return text, KeySecret(
        key_id=key_id, hash=hash_of(text, pepper), signing=SigningCipher(pepper).encrypt(key_id, text)
    )


def hash_of(text: str, pepper: bytes) -> bytes:
    """Return the hash by which a secret is recognized: HMAC-SHA-256."""
    return hmac.digest(pepper, text.encode("utf-8", "surrogateescape"), "sha256")


def key_id_of(text: str) -> str:
    """Return the id in a secret; empty if the text cannot be one."""
    match = _SECRET.match(text)
    return match[1] if match else ""


def is_key_id(text: str) -> bool:
    """Return whether a text can be the id of a key."""
    return _ID.match(text) is not None


def is_genuine(text: str, pepper: bytes) -> bool:
    """Return whether a secret was made with this pepper. Only the database tells whether it is still valid."""
    key_id = key_id_of(text)
    if not key_id:
        return False
    decoded = base64.b32decode(text[-64:].upper())
    random, code = decoded[:_RANDOM_BYTES], decoded[_RANDOM_BYTES:]
    return hmac.compare_digest(code, _code(key_id, random, pepper))


class SigningCipher:
    """Encrypts secrets, which SigV4 needs in full, by AES-256-GCM with a key that is derived from KEY_PEPPER."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    @cached_property
    def _cipher(self) -> AESGCM:
        # 8 MB, which only signatures and repeated requests of administrators need
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return AESGCM(HKDF(SHA256(), 32, salt=None, info=_SIGNING).derive(self._pepper))

    def encrypt(self, key_id: str, text: str) -> bytes:
        """Encrypt a secret. It can be decrypted for the same key only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), key_id.encode())

    def decrypt(self, key_id: str, encrypted: bytes) -> str | None:
        """Decrypt a secret. Returns None: it was encrypted with another pepper, or for another key."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], key_id.encode()).decode()
        except InvalidTag:
            return None


def is_other_pepper(secret: KeySecret | None, pepper: bytes) -> bool:
    """Return whether a stored secret was made with another pepper. False for one without an encrypted copy."""
    if secret is None or secret.signing is None:
        return False
    return SigningCipher(pepper).decrypt(secret.key_id, secret.signing) is None


def _code(key_id: str, random: bytes, pepper: bytes) -> bytes:
    return hmac.digest(pepper, _CODE + key_id.encode() + random, "sha256")[:_CODE_BYTES]


def _encode(value: bytes) -> str:
    return base64.b32encode(value).decode().lower()
