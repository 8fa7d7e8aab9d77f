"""Holders of keys in the database. Each request of the console reads their key, so that a revoked one ends at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec import Struct

from app.console.sessions import SessionSigner
from app.governance.identity.caller import Caller
from app.governance.identity.key_secrets import hash_of, is_genuine, key_id_of
from app.governance.identity.known_keys import KnownKey
from app.storage.bounded import soon
from app.storage.database import Database
from app.storage.key_rows import KeyRows, read_keys
from app.storage.records import KeySecret


class DatabaseKeys(Struct, frozen=True):
    """The keys of a database. pepper: KEY_PEPPER."""

    database: Database
    pepper: bytes
    signer: SessionSigner

    async def sign_in(self, secret: str) -> tuple[Caller, str] | None:
        """Return the caller with a secret, and the proof of the secret for its session.

        Raises:
            DatabaseDown: the database cannot be reached.
        """
        if not is_genuine(secret, self.pepper):
            return None
        proof = self.signer.proof_of_hash(hash_of(secret, self.pepper))
        caller = await self.current(key_id_of(secret), proof)
        return None if caller is None else (caller, proof)

    async def current(self, key_id: str, proof: str) -> Caller | None:
        """Return the caller of a key that may call, if one of its secrets has this proof. Raises as `sign_in` does."""
        rows = await soon(self._read(key_id))
        if rows is None:
            return None
        now, known = time.time(), KnownKey.of(rows, 0.0)
        may_call = not known.refusal and known.ends > now
        return known.caller if may_call and proof in self._proofs(known.secrets, now) else None

    async def _read(self, key_id: str) -> KeyRows | None:
        async with self.database.begin(reads=True) as connection:
            return (await read_keys(connection, [key_id])).get(key_id)

    def _proofs(self, secrets: Sequence[KeySecret], now: float) -> list[str]:
        live = [each for each in secrets if each.expires_at is None or each.expires_at.timestamp() > now]
        return [self.signer.proof_of_hash(each.hash) for each in live]
