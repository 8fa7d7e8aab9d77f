"""The journal: a line for each admission and each settlement, in files that outlive the process.

A line is in the file when `write` returns, so it survives the process. It survives the machine once `sync` has run. A
process locks its journal as long as it lives: one that can be locked is that of a process that has ended.

Files are mapped into memory, so that a line takes no system call. Each file is filled with zeros before it is used: a
full disk is then an error of the new file, and does not end the process when a page of memory is written. While the
disk is full, the last file is used again once all of its attempts are in the database.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import mmap
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from msgspec import Struct, field

from app.governance.ledger.entry import Entry
from app.storage.records import new_id
from app.wire import json

_log = logging.getLogger(__name__)

# of the first file. The more wait for the database, the larger is the next one, so that there are few
_SEGMENT_BYTES, _MAX_SEGMENT_BYTES = 128 * 1024, 8 * 1024 * 1024
_PREFIX = "journal-"
_NAME = re.compile(f"{_PREFIX}[0-9A-Za-z]+")
_KEPT = ".unreadable"
_NEWLINE, _ZERO = ord("\n"), b"\0"


class JournalFull(Exception):
    """The journal cannot be written: the disk is full, or was removed."""


class _Segment(Struct):
    """A file of a journal.

    memory: of the file, at the end of its lines. attempts: those that it has lines of, and that are not in the database
        yet.
    """

    path: Path
    descriptor: int
    memory: mmap.mmap
    attempts: set[str] = field(default_factory=set)

    def append(self, line: bytes | bytearray) -> bool:
        """Add a line; returns False if it has no room."""
        memory = self.memory
        try:
            memory.write(line)
            # last, so that a line that a kill cuts off, or that has no room for its end, is no line
            memory.write_byte(_NEWLINE)
        except ValueError:
            return False
        return True

    def clear(self) -> None:
        """Drop all lines."""
        self.memory[:] = bytes(len(self.memory))
        self.memory.seek(0)

    def close(self) -> None:
        """Close the file, unless that was done: by `sync`, which may still run in its thread."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            self.memory.close()
            os.close(descriptor)


class Journal:
    """The journal of this process.

    Raises:
        JournalFull: it cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._name = folder, new_id()
        self._lock_path = folder / f"{_PREFIX}{self._name}.lock"
        self._number = 0
        self._replica = b""
        # the last one: its memory is used again
        self._line = bytearray()
        try:
            self._lock = os.open(self._lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalFull(f"{folder}: {error.strerror}") from None
        self._segments = [self._open_segment(_SEGMENT_BYTES)]

    def note_replica(self, replica: str) -> None:
        """Write which replica this process is, so that its leases are returned even if it has no attempts."""
        self._replica = json.dumps({"replica": replica})
        if not self._segments[-1].append(self._replica):
            self._append_to_another(b"")

    def write(self, entry: Entry) -> None:
        """Write a line. Raises JournalFull: it is not written."""
        line, segment = self._line, self._segments[-1]
        json.dump_into(entry, line)
        memory = segment.memory
        try:
            # as `_Segment.append`
            memory.write(line)
            memory.write_byte(_NEWLINE)
        except ValueError:
            segment = self._append_to_another(line)
        segment.attempts.add(entry.attempt_id)

    def forget(self, attempts: Collection[str]) -> None:
        """Drop attempts whose settlement is in the database; a file without others is deleted."""
        for segment in self._segments:
            segment.attempts.difference_update(attempts)
        current = self._segments[-1]
        for segment in self._segments[:-1]:
            if not segment.attempts:
                self._delete(segment)
        self._segments = [each for each in self._segments if each.attempts or each is current]

    def sync(self) -> None:
        """Wait until the lines are on the disk, and close files that have no more room. Blocks."""
        *full, current = self._segments
        for segment in full:
            if segment.descriptor >= 0:
                os.fsync(segment.descriptor)
                segment.close()
        os.fsync(current.descriptor)

    def close(self, *, delete: bool) -> None:
        """Close the files. delete: nothing has to be replayed."""
        for segment in self._segments:
            if delete:
                self._delete(segment)
            else:
                segment.close()
        if delete:
            self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)

    def _append_to_another(self, line: bytes | bytearray) -> _Segment:
        """Begin another file with the replica, or on a full disk the last one again, and add a line.

        Raises:
            JournalFull: there is room for neither.
        """
        size = min(len(self._segments) * _SEGMENT_BYTES, _MAX_SEGMENT_BYTES)
        needed = len(self._replica) + len(line) + 2
        try:
            segment = self._open_segment(max(size, needed))
        except JournalFull:
            segment = self._segments[-1]
            if segment.attempts or len(segment.memory) < needed:
                raise
            segment.clear()
        else:
            self._segments.append(segment)
        segment.append(self._replica)
        segment.append(line)
        return segment

    def _open_segment(self, size: int) -> _Segment:
        """Make a file of zeros. Raises JournalFull: the disk has no room for it."""
        self._number += 1
        path = self._folder / f"{_PREFIX}{self._name}.{self._number:06}.jsonl"
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalFull(f"{path}: {error.strerror}") from None
        try:
            if os.write(descriptor, bytes(size)) < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return _Segment(path, descriptor, mmap.mmap(descriptor, size))
        except OSError as error:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise JournalFull(f"{path}: {error.strerror}") from None

    def _delete(self, segment: _Segment) -> None:
        segment.close()
        segment.path.unlink(missing_ok=True)


class EndedJournal(Struct):
    """The journal of a process that has ended. It is locked until it is closed.

    replicas: that the process was. holds, settlements: by attempt. unposted: lines that cannot be read or posted.
    """

    lock: int
    paths: list[Path]
    replicas: list[str] = field(default_factory=list)
    holds: dict[str, Entry] = field(default_factory=dict)
    settlements: dict[str, Entry] = field(default_factory=dict)
    unposted: int = 0

    def entries(self) -> list[Entry]:
        """Return the settlements, and for attempts without one what they held."""
        lost = [hold.at_what_was_held() for attempt, hold in self.holds.items() if attempt not in self.settlements]
        return [*self.settlements.values(), *lost]

    def close(self, *, delete: bool) -> None:
        """Unlock it.

        Args:
            delete: what could be posted is in the database. The files are kept under other names if lines are left.
        """
        if delete:
            *segments, lock_path = self.paths
            if self.unposted:
                fields = {"file": lock_path.stem, "lines": self.unposted}
                _log.error("a journal has lines that cannot be posted, and is kept", extra={"fields": fields})
            for path in segments:
                if self.unposted:
                    _cut_zeros(path)
                    path.replace(path.with_name(path.name + _KEPT))
                else:
                    path.unlink(missing_ok=True)
            lock_path.unlink(missing_ok=True)
        os.close(self.lock)


def _cut_zeros(path: Path) -> None:
    """Cut off what follows the last line, so that a file can be read and corrected by hand."""
    with contextlib.suppress(OSError):
        os.truncate(path, len(path.read_bytes().rstrip(_ZERO)))


def ended_journals(folder: Path) -> Iterator[EndedJournal]:
    """Read the journals of processes that have ended, each locked for the caller, who closes it."""
    for lock_path in sorted(folder.glob(f"{_PREFIX}*.lock")):
        if not _NAME.fullmatch(lock_path.stem) or not lock_path.is_file():
            continue
        try:
            lock = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            fields = {"file": lock_path.name, "error": error.strerror}
            _log.error("a journal cannot be opened", extra={"fields": fields})
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        segments = sorted(path for path in folder.glob(f"{lock_path.stem}.*.jsonl") if path.is_file())
        journal = EndedJournal(lock, [*segments, lock_path])
        for segment in segments:
            _read(segment, journal, is_last=segment is segments[-1])
        yield journal


def _read(path: Path, journal: EndedJournal, *, is_last: bool) -> None:
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        journal.unposted += 1
        fields = {"file": path.name, "error": error.strerror}
        _log.error("a journal cannot be read", extra={"fields": fields})
        return
    for number, line in enumerate(lines, start=1):
        try:
            # zeros before a line: somebody has added it to the file
            if content := line.lstrip(_ZERO):
                _read_line(json.loads(content), journal)
        except ValueError as error:
            journal.unposted += 1
            origin: dict[str, str | int] = {"file": path.name, "line": number, "error": str(error)}
            _log.warning("a line of the journal is malformed", extra={"fields": origin})
    if is_last and rest.strip(_ZERO):
        # a process that is killed while it writes leaves a part of a line; one without room is in the next file too
        _log.warning("the last line of a journal is cut off", extra={"fields": {"file": path.name}})


def _read_line(document: object, journal: EndedJournal) -> None:
    """Add a line to what is known of a journal. Raises ValueError: it is malformed."""
    if not isinstance(document, dict):
        raise ValueError("a line must be an object")
    if "replica" in document:
        if not isinstance(document["replica"], str):
            raise ValueError("`replica` must be a text")
        journal.replicas.append(document["replica"])
        return
    entry = Entry.from_line(document)
    (journal.holds if entry.phase == "hold" else journal.settlements)[entry.attempt_id] = entry
