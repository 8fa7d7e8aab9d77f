"""Finds the callers that hold virtual keys: in memory, or once in the database."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from app.errors import AuthenticationFailed
from app.governance.identity.caller import Caller, Policy
from app.governance.identity.key_secrets import ID_OF_SECRET, SigningCipher, hash_of, is_genuine, is_key_id, key_id_of
from app.governance.identity.key_watch import KeyWatch
from app.governance.identity.known_keys import Absent, Known, KnownKey, KnownTeam
from app.governance.identity.row_reader import RowReader
from app.storage.database import Database
from app.storage.key_rows import KeyRows, TeamRows, read_keys, read_teams
from app.storage.records import KeySecret

INCORRECT = "incorrect API key"
_ROTATED = "this secret of the API key was rotated, and has expired"
# for the log
_OTHER_PEPPER = "the secret is misspelled, or was made with another KEY_PEPPER"
_NO_TEAM = "the team of this caller does not exist"
_MAX_KEYS = 10_000
_MAX_TEAMS = 10_000
# what is in use is read again after this time, in case a change was not heard of
_REFRESH_SECONDS = 60.0
# a secret that was found is found again without another look at its key for so long
_RECENT_SECONDS = 1.0


class KeyVerifier(Struct, frozen=True):
    """The secrets that verify the signatures of a key, and its caller.

    refusal: why its caller is refused, which only the holder of the secret may know; empty if it is not.
    """

    secrets: tuple[str, ...]
    caller: Caller
    refusal: str = ""


class KeyDirectory:
    """The virtual keys and teams. Changes in the database are noticed within two seconds.

    While the database cannot be reached, keys that are known go on, and others cannot be checked.

    Args:
        wall: seconds since the epoch, for the ends of keys and secrets. clock: seconds that never go back.
    """

    def __init__(
        self,
        database: Database,
        pepper: bytes,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pepper = pepper
        self._cipher = SigningCipher(pepper)
        self._wall = wall
        self._clock = clock
        self._keys: Known[KnownKey] = Known(_MAX_KEYS, clock)
        self._teams: Known[KnownTeam] = Known(_MAX_TEAMS, clock)
        # how often teams have changed; the number of the last change of each
        self.team_changes = 0
        self._teams_changed: dict[str, int] = {}
        # callers by the digests of their secrets, until a time or a change
        self._recent: dict[bytes, tuple[Caller, float]] = {}
        # hashes of secrets that are genuine, and not valid any more
        self._wrong = Absent(clock)
        self._key_reader = RowReader(database, read_keys, self._keep_key, lambda row: (row.key.id, row.key.team_id))
        self._team_reader = RowReader(database, read_teams, self._keep_team, lambda row: (row.team.id,))
        self._watch = KeyWatch(database, self.note_change)

    def start(self) -> None:
        """Begin to watch for changes. The schema must be prepared."""
        self._watch.start()

    async def close(self) -> None:
        """Stop watching and reading."""
        await self._watch.close()
        await self._key_reader.close()
        await self._team_reader.close()

    def find_recent(self, digest: bytes) -> Caller | None:
        """Return the caller that `find` returned a moment ago for the digest of a secret; None if there is none."""
        found = self._recent.get(digest)
        return None if found is None or self._clock() >= found[1] else found[0]

    def find(self, text: str, digest: bytes) -> Caller | None:
        """Return the caller with a secret. Returns None: only the database knows; see `load`.

        Args:
            digest: of the secret, with a key that only this process has: it stands for a secret that was correct.

        Raises:
            AuthenticationFailed: the secret is wrong, or its key is revoked, blocked or expired.
        """
        key_id = text[ID_OF_SECRET]
        known = self._use(key_id)
        if known is not None and (left := known.correct.get(digest, 0.0) - self._wall()) > 0:
            if len(self._recent) >= _MAX_KEYS:
                self._recent.clear()
            self._recent[digest] = known.caller, self._clock() + min(left, _RECENT_SECONDS)
            return known.caller
        stored = hash_of(text, self._pepper)
        if known is not None and (secret := _secret_with(known, stored)) is not None:
            caller = self._checked(known, _end_of(secret))
            known.correct[digest] = min(_end_of(secret), known.ends)
            return caller
        if key_id in self._keys.absent:
            raise AuthenticationFailed(INCORRECT)
        if not is_genuine(text, self._pepper):
            raise AuthenticationFailed(INCORRECT, detail=_OTHER_PEPPER if key_id_of(text) else "")
        if stored in self._wrong or (known is not None and known.refusal):
            raise _refusal_of_former(known)
        return None

    async def load(self, text: str) -> Caller:
        """Read the key of a secret, and return its caller.

        Raises:
            AuthenticationFailed: as `find` does. Overloaded: the database does not answer.
        """
        key_id, stored = text[ID_OF_SECRET], hash_of(text, self._pepper)
        known = await self._read_key(key_id)
        if (secret := _secret_with(known, stored)) is None:
            # that read may have begun before the secret was stored
            known = await self._read_key(key_id)
            secret = _secret_with(known, stored)
        if secret is None:
            self._wrong.add(stored)
            raise _refusal_of_former(known)
        return self._checked(known, _end_of(secret))

    def find_verifier(self, key_id: str) -> KeyVerifier | None:
        """Return what checks the signatures of a key. Returns None: only the database knows; see `load_verifier`.

        Raises:
            AuthenticationFailed: there is no such key.
        """
        known = self._use(key_id)
        if known is None:
            if key_id in self._keys.absent or not is_key_id(key_id):
                raise AuthenticationFailed(INCORRECT)
            return None
        now = self._wall()
        opened = [
            self._cipher.decrypt(key_id, secret.signing)
            for secret in known.secrets
            if secret.signing is not None and (known.refusal or _end_of(secret) > now)
        ]
        try:
            caller = self._checked(known)
        except AuthenticationFailed as error:
            return KeyVerifier(tuple(filter(None, opened)), known.caller, error.message)
        return KeyVerifier(tuple(filter(None, opened)), caller)

    async def load_verifier(self, key_id: str) -> KeyVerifier:
        """Read a key, and return what checks its signatures. Raises as `find_verifier` and `load` do."""
        await self._key_reader.read(key_id)
        while (verifier := self.find_verifier(key_id)) is None:
            await self._key_reader.read(key_id)  # it has changed since
        return verifier

    def policy_of_team(self, team_id: str, person: str = "", labels: Mapping[str, str] = {}) -> Policy | None:
        """Return what a team allows to a caller without a key. Returns None: see `load_policy_of_team`.

        Raises:
            AuthenticationFailed: there is no such team, or it is blocked.
        """
        known = self._teams.use(team_id)
        if known is None:
            if team_id in self._teams.absent:
                raise AuthenticationFailed(_NO_TEAM)
            return None
        if known.refusal:
            raise AuthenticationFailed(known.refusal)
        if self._clock() - known.refreshed_at > _REFRESH_SECONDS:
            known.refreshed_at = self._clock()
            self._team_reader.request(team_id)
        return known.policy(person, labels)

    async def load_policy_of_team(self, team_id: str, person: str = "", labels: Mapping[str, str] = {}) -> Policy:
        """Read a team, and return what it allows. Raises as `policy_of_team` and `load` do."""
        await self._team_reader.read(team_id)
        while (policy := self.policy_of_team(team_id, person, labels)) is None:
            await self._team_reader.read(team_id)  # it has changed since
        return policy

    def note_change(self, name: str) -> None:
        """Forget a key or a team that has changed, `key/ID` or `team/ID`; the next request reads it."""
        kind, _, identifier = name.partition("/")
        self._recent.clear()
        self._key_reader.note_change(identifier)
        self._team_reader.note_change(identifier)
        if kind == "key":
            self._keys.forget(identifier)
            return
        self._teams.forget(identifier)
        if len(self._teams_changed) >= _MAX_TEAMS:
            self._teams_changed.clear()
            self._keys.clear()
        self.team_changes += 1
        self._teams_changed[identifier] = self.team_changes

    async def _read_key(self, key_id: str) -> KnownKey:
        """Read a key. Raises AuthenticationFailed: there is none. Overloaded: the database does not answer."""
        await self._key_reader.read(key_id)
        while (known := self._use(key_id)) is None:
            if key_id in self._keys.absent:
                raise AuthenticationFailed(INCORRECT)
            await self._key_reader.read(key_id)  # it has changed since
        return known

    def _use(self, key_id: str) -> KnownKey | None:
        """Return what is known of a key, unless its team has changed since. It is read again from time to time."""
        known = self._keys.get(key_id)
        if known is None:
            return None
        if known.changes >= self._teams_changed.get(known.team_id, 0):
            self._keys.move_to_end(key_id)
            if self._clock() - known.refreshed_at > _REFRESH_SECONDS:
                known.refreshed_at = self._clock()
                self._key_reader.request(key_id)
            return known
        self._keys.forget(key_id)
        return None

    def _keep_key(self, key_id: str, rows: KeyRows | None) -> None:
        self._recent.clear()
        self._keys.put(key_id, None if rows is None else KnownKey.of(rows, self._clock(), self.team_changes))

    def _keep_team(self, team_id: str, rows: TeamRows | None) -> None:
        self._teams.put(team_id, None if rows is None else KnownTeam.of(rows, self._clock()))

    def _checked(self, known: KnownKey, ends: float = math.inf) -> Caller:
        """Return the caller of a key.

        Args:
            ends: when the secret that was used ends, in seconds since the epoch.

        Raises:
            AuthenticationFailed: the key is revoked, blocked or expired, or the secret has ended.
        """
        now = self._wall()
        if ends <= now:
            raise _refusal_of_former(known)
        if known.refusal:
            raise AuthenticationFailed(known.refusal)
        if known.ends <= now:
            raise AuthenticationFailed("this API key has expired")
        return known.caller


def _refusal_of_former(known: KnownKey | None) -> AuthenticationFailed:
    """Return why a genuine secret that is not valid any more is refused. Only its holder gets to know."""
    return AuthenticationFailed((known.refusal if known is not None else "") or _ROTATED)


def _secret_with(known: KnownKey, stored: bytes) -> KeySecret | None:
    """Return the secret of a key that has a hash; None if it has none with that."""
    return next((each for each in known.secrets if hmac.compare_digest(each.hash, stored)), None)


def _end_of(secret: KeySecret) -> float:
    return math.inf if secret.expires_at is None else secret.expires_at.timestamp()
