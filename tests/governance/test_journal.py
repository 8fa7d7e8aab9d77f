"""The journal: what it holds after a process has ended, and what it drops."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from app.governance.ledger import journal as journals
from app.governance.ledger.entry import Entry
from app.governance.ledger.journal import EndedJournal, Journal, JournalFull, ended_journals


def hold(attempt: str = "a1", **changes: object) -> Entry:
    values = {"attempt_id": attempt, "phase": "hold", "replica_id": "r", "charged_to": {"budget/b/2026-11": 700}}
    return Entry(**{**values, **changes})  # type: ignore[arg-type]


def settlement(attempt: str = "a1", **changes: object) -> Entry:
    values = {"cost_nano": 600, "charged_to": {"budget/b/2026-11": 600}, "input_tokens": 7, "labels": {"centre": "ü"}}
    return structs.replace(hold(attempt), phase="settle", **{**values, **changes})


def end(journal: Journal) -> None:
    """What is left of a journal when its process is killed: the lock of the file is released."""
    journal.close(delete=False)


def the_ended(folder: Path) -> EndedJournal:
    (journal,) = ended_journals(folder)
    return journal


def test_what_was_written_is_read_after_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.note_replica("r")
    for entry in (hold("a1"), settlement("a1"), hold("a2")):
        journal.write(entry)
    assert list(ended_journals(tmp_path)) == [], "its process lives"
    end(journal)
    ended = the_ended(tmp_path)
    assert (ended.replicas, ended.holds["a1"], ended.settlements) == (["r"], hold("a1"), {"a1": settlement("a1")}) or (
        ended.settlements["a1"].labels == {"centre": "ü"}
    )
    first, lost = ended.entries()
    assert (first.attempt_id, first.cost_nano, first.is_estimated) == ("a1", 600, False)
    assert (lost.attempt_id, lost.cost_nano, lost.outcome, lost.is_estimated) == ("a2", 700, "lost", True)
    assert list(ended_journals(tmp_path)) == [], "it is being replayed"
    ended.close(delete=True)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_was_cut_off_hides_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(hold("a1"))
    end(journal)
    (file,) = tmp_path.glob("*.jsonl")
    with file.open("ab") as stream:
        stream.write(b'{"attempt_id": "a2", "pha\n{}\n[]\n"x"\n\xff\n')
    assert [*the_ended(tmp_path).holds] == ["a1"]


def test_files_are_deleted_when_all_of_their_attempts_are_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_SEGMENT_BYTES", 2000)
    journal = Journal(tmp_path)
    journal.note_replica("r")
    for number in range(20):
        journal.write(hold(f"a{number}"))
        journal.write(settlement(f"a{number}"))
    before = len(list(tmp_path.glob("*.jsonl")))
    assert before > 3
    journal.forget([f"a{number}" for number in range(1, 20)])
    assert len(list(tmp_path.glob("*.jsonl"))) == 2, "that of the first attempt, and the current one"
    end(journal)
    ended = the_ended(tmp_path)
    assert "a0" in ended.settlements
    assert set(ended.replicas) == {"r"}


def test_a_full_disk_is_an_error_and_later_lines_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    real = os.write

    def fills(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2])

    def is_full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for broken in (fills, is_full):
        monkeypatch.setattr(os, "write", broken)
        with pytest.raises(JournalFull, match=r"full|No space"):
            journal.write(hold("a1"))
    monkeypatch.setattr(os, "write", real)
    journal.write(hold("a2"))
    end(journal)
    assert [*the_ended(tmp_path).holds] == ["a2"]


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalFull, match="No such file"):
        Journal(tmp_path / "gone")


_WRITES = """
import sys
from pathlib import Path
from app.governance.ledger.journal import Journal
from tests.governance.test_journal import hold, settlement
journal = Journal(Path(sys.argv[1]))
journal.note_replica("r")
number = 0
while True:
    journal.write(hold(f"a{number}"))
    if number >= 20:
        journal.write(settlement(f"a{number - 20}"))
        print(number - 20, flush=True)
    number += 1
"""


@pytest.mark.slow
def test_every_line_before_a_kill_is_read(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITES, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 300:
                process.send_signal(signal.SIGKILL)
                break
        last = max([300, *map(int, process.stdout.read().split())])
    ended = the_ended(tmp_path)
    assert {f"a{number}" for number in range(last + 1)} <= ended.settlements.keys()
    assert 19 <= len(ended.holds.keys() - ended.settlements.keys()) <= 21
    assert {each.attempt_id for each in ended.entries()} == ended.holds.keys()


def test_the_lock_is_the_process_s(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    (path,) = tmp_path.glob("*.lock")
    with path.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    journal.close(delete=True)
    assert list(tmp_path.iterdir()) == []
