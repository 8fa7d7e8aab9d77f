"""Writes entries to the journal at once and to the database in batches, and replays journals of ended processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from operator import attrgetter
from pathlib import Path

from sqlalchemy.exc import OperationalError, ProgrammingError

from app.errors import Overloaded
from app.governance.leases.client import LeaseClient
from app.governance.leases.store import LeaseStore, NotLive, renew, write
from app.governance.ledger.entry import Entry
from app.governance.ledger.journal import EndedJournal, Journal, JournalFull, ended_journals
from app.governance.ledger.posting import (
    MissingBalances,
    additions_of,
    close_replica,
    lock_charged,
    post,
    post_for_ended,
)
from app.governance.ledger.usage_sums import kinds_of
from app.storage.database import DatabaseDown, refuses_values

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.2
_MAX_BATCH = 1_000
_CLOSE_SECONDS = 5.0
# between two lines of the log that say the same
_LOG_SECONDS = 30.0
_REPLICA, _ATTEMPT = attrgetter("replica_id"), attrgetter("attempt_id")
# errors that every entry has
_NOT_OF_DATA = (DatabaseDown, OperationalError, ProgrammingError)


class LedgerWriter:
    """The ledger of this process.

    Args:
        client: the leases that entries are charged to; started. folder: of the journals.
        on_posted: called with the settlements of each batch that is in the database, grouped by `kinds_of`.

    Raises:
        JournalFull: the journal cannot be created.
    """

    def __init__(
        self, client: LeaseClient, folder: Path, on_posted: Callable[[Sequence[Sequence[Entry]]], object] | None = None
    ) -> None:
        self._client = client
        self._transactions = client.transactions
        self._store = LeaseStore(client.transactions.database)
        self._folder = folder
        self._on_posted = on_posted
        self._journal = Journal(folder)
        self._journal.note_replica(self._transactions.replica)
        self._transactions.on_lost = self._note_former
        # replicas that this process was, and that were marked lost
        self._former: set[str] = set()
        # admitted and not settled, by attempt; the time of the admission
        self._open: dict[str, tuple[Entry, float]] = {}
        self._unposted_holds: dict[str, Entry] = {}
        self._settled: list[Entry] = []
        # attempts with an entry that the database refuses: it stays in the journal, for the next process
        self._refused: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._next_log = 0.0
        # unique, since no other process has the replica's
        self._prefix, self._numbers = self._transactions.replica, count(1)

    @property
    def unposted(self) -> int:
        """The number of settlements that are not in the database yet."""
        return len(self._settled)

    def next_id(self) -> str:
        """Return the id of another attempt."""
        return f"{self._prefix}.{next(self._numbers)}"

    async def start(self) -> None:
        """Replay the journals of processes that have ended, and begin to post. Raises DatabaseDown."""
        await self.replay()
        self._task = asyncio.create_task(self._run(), name="ledger")

    async def close(self) -> bool:
        """Post what is left; returns False if that failed, and the journal has to be replayed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self._settled or (self._former and not self._open):
                    with contextlib.suppress(DatabaseDown, NotLive):
                        await self.post_batch()
        is_posted = not (self._settled or self._open or self._former or self._refused)
        self._journal.close(delete=is_posted)
        return is_posted

    def admit(self, entry: Entry) -> None:
        """Write an attempt's hold to the journal, before it is sent.

        Raises:
            Overloaded: the journal cannot be written, so that the attempt could be lost.
        """
        try:
            self._journal.write(entry)
        except JournalFull as error:
            self._log_unwritten(error)
            raise Overloaded("the gateway cannot record calls now", detail="journal") from None
        self._open[entry.attempt_id] = entry, time.monotonic()

    def settle(self, entry: Entry) -> None:
        """Write an attempt's settlement to the journal, before its answer ends. It is posted later."""
        try:
            self._journal.write(entry)
        except JournalFull as error:
            # the database gets it all the same, and if this process ends before that, what was held is charged
            self._log_unwritten(error)
        self._open.pop(entry.attempt_id, None)
        if self._unposted_holds:
            self._unposted_holds.pop(entry.attempt_id, None)
        self._settled.append(entry)

    async def post_batch(self) -> None:
        """Post the next settlements, and the holds of attempts that run for a while.

        Raises:
            DatabaseDown: it has to be repeated. NotLive: this process is another replica now.
        """
        self._note_long_attempts()
        batch = self._settled[:_MAX_BATCH]
        holds = [*self._unposted_holds.values()][:_MAX_BATCH]
        own = self._transactions.replica
        # this process was another replica when it admitted those of others
        others = {*map(_REPLICA, batch), *map(_REPLICA, holds)} - {own}
        entries = [*batch, *holds]
        if others:
            entries = [each for each in entries if each.replica_id == own]
        if entries:
            await self._post_own(entries, own)
        for replica in others:
            await self._post_for_ended(replica, [each for each in batch if each.replica_id == replica])
        del self._settled[: len(batch)]
        if self._on_posted is not None:
            self._on_posted(kinds_of(batch))
        for hold in holds:
            self._unposted_holds.pop(hold.attempt_id, None)
        self._journal.forget({*map(_ATTEMPT, batch)} - self._refused)
        await self._close_former()

    async def replay(self) -> None:
        """Post the journals of processes that have ended, and return the leases of those without malformed lines.

        Raises:
            DatabaseDown: it has to be repeated. Entries that the database refuses do not end it: they stay in files.
        """
        for journal in await asyncio.to_thread(lambda: list(ended_journals(self._folder))):
            is_done = False
            try:
                await self._replay(journal)
                is_done = True
            finally:
                journal.close(delete=is_done)

    async def _replay(self, journal: EndedJournal) -> None:
        entries = journal.entries()
        replicas = dict.fromkeys([*journal.replicas, *[each.replica_id for each in entries]])
        for replica in replicas:
            of_replica = [each for each in entries if each.replica_id == replica]
            journal.unposted += await self._post_what_can_be(replica, of_replica)
            fields = {"replica": replica, "entries": len(of_replica)}
            _log.info("replayed the journal of a process that has ended", extra={"fields": fields})
        # what is not posted is paid from the leases: they are charged when they end, until the lines are corrected
        if not journal.unposted:
            for replica in replicas:
                await close_replica(self._transactions.database, replica)

    async def _post_what_can_be(self, replica: str, entries: Sequence[Entry]) -> int:
        """Post entries of a replica that has ended; returns how many of them the database refuses."""
        try:
            await self._post_for_ended(replica, entries)
        except _NOT_OF_DATA:
            raise
        except Exception as error:  # noqa: BLE001 -- the gateway must start whatever one journal contains
            if len(entries) == 1:
                fields = {"attempt": entries[0].attempt_id, "error": type(error).__name__}
                _log.exception("an entry of a journal cannot be posted", extra={"fields": fields})
                return 1
            return sum([await self._post_what_can_be(replica, [each]) for each in entries])
        return 0

    def _note_former(self, replica: str) -> None:
        self._former.add(replica)
        self._journal.note_replica(self._transactions.replica)

    async def _close_former(self) -> None:
        """Return what is left of the leases of a former replica, once all of its attempts are in the ledger."""
        if not self._former:
            return
        in_use = {entry.replica_id for entry, _ in self._open.values()} | {each.replica_id for each in self._settled}
        for replica in self._former - in_use:
            await close_replica(self._transactions.database, replica)
            self._former.discard(replica)

    def _note_long_attempts(self) -> None:
        """Have the holds of attempts posted that outlast a pause: a lost machine's attempts are then known."""
        moment = time.monotonic() - _PAUSE_SECONDS
        for attempt, (entry, since) in self._open.items():
            if since <= moment and since != 0.0:
                self._unposted_holds[attempt] = entry
                self._open[attempt] = entry, 0.0

    async def _with_balances(self, entries: Sequence[Entry], replica: str) -> None:
        added = additions_of(entries)

        async def operation(current: str, sequence: int) -> tuple[Mapping[str, int], Mapping[str, int]]:
            if current != replica:
                raise NotLive
            async with self._transactions.database.begin() as connection:
                now_us = await renew(connection, replica, sequence)
                rows = await lock_charged(connection, replica, now_us, added.charges.keys())
                await post(connection, rows, entries, added)
                await write(connection, rows)
            return added.charges, {key: lease.amount for key, lease in rows.leases.items()}

        try:
            await self._transactions.run(operation)
        except MissingBalances as error:
            await self._store.create(error.refs)
            await self._transactions.run(operation)

    async def _post_own(self, entries: Sequence[Entry], replica: str) -> None:
        """Post entries of this process. One that the database refuses keeps back no other. Raises as `run` does."""
        try:
            await self._with_balances(entries, replica)
        except Exception as error:
            if not refuses_values(error):
                raise
            if len(entries) == 1:
                self._refused.add(entries[0].attempt_id)
                fields = {"attempt": entries[0].attempt_id, "error": type(error).__name__}
                _log.exception("an entry of the ledger cannot be posted", extra={"fields": fields})
                return
            half = len(entries) // 2
            for part in (entries[:half], entries[half:]):
                await self._post_own(part, replica)

    async def _post_for_ended(self, replica: str, entries: Sequence[Entry]) -> None:
        try:
            await post_for_ended(self._transactions.database, replica, entries)
        except MissingBalances as error:
            await self._store.create(error.refs)
            await post_for_ended(self._transactions.database, replica, entries)

    def _log_unwritten(self, error: Exception) -> None:
        if (now := time.monotonic()) >= self._next_log:
            self._next_log = now + _LOG_SECONDS
            _log.error("the journal cannot be written", extra={"fields": {"error": str(error)}})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                if self._settled or self._open or self._former:
                    await self.post_batch()
                    while len(self._settled) >= _MAX_BATCH:
                        await self.post_batch()
                    await asyncio.to_thread(self._journal.sync)
            except (DatabaseDown, NotLive):
                continue
            except OSError as error:
                self._log_unwritten(error)
            except Exception:  # noqa: BLE001 -- entries must be posted whatever happens
                _log.exception("entries of the ledger could not be posted")
