"""The journal: what it holds after a process has ended, and what it drops."""

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from app.governance.ledger import journal as journals
from app.governance.ledger.entry import Entry
from app.governance.ledger.journal import EndedJournal, Journal, JournalFull, ended_journals
from tests.disks import no_space


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


def test_a_part_of_a_line_at_the_end_is_no_reason_to_keep_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(hold("a1"))
    end(journal)
    (file,) = tmp_path.glob("*.jsonl")
    with file.open("ab") as stream:
        stream.write(b'{"attempt_id": "a2", "pha')
    ended = the_ended(tmp_path)
    assert ([*ended.holds], ended.unposted) == (["a1"], 0)
    ended.close(delete=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"cost_nano": 99999999999999999999},
        {"cost_nano": -1},
        {"cost_nano": "1"},
        {"input_tokens": None},
        {"input_tokens": -1},
        {"input_tokens": 10**12 + 1},
        {"output_tokens": True},
        {"number": 2**15},
        {"charged_to": {"budget/b/2026-11": 2**63}},
        {"charged_to": {"budget/b/2026-11": -1}},
        {"charged_to": {"b": 1}},
        {"charged_to": [1]},
        {"labels": {"centre": 1}},
        {"phase": "end"},
        {"phase": "adjust", "cost_nano": -(2**63)},
        {"at": "2026-11-01T00:00:00"},
        {"at": "yesterday"},
        {"replica": []},
    ],
)
def test_a_journal_with_an_unreadable_line_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, object]
) -> None:
    journal = Journal(tmp_path)
    journal.write(hold("a1"))
    end(journal)
    (file,) = tmp_path.glob("*.jsonl")
    line = json.loads(file.read_text().rstrip("\0"))
    with file.open("a") as stream:
        stream.write(json.dumps({**line, "attempt_id": "a2", "phase": "settle", **changes}) + "\n")
    content = file.read_bytes()
    ended = the_ended(tmp_path)
    assert ([*ended.holds], ended.settlements, ended.replicas, ended.unposted) == (["a1"], {}, [], 1)
    with caplog.at_level(logging.ERROR):
        ended.close(delete=True)
    (kept,) = tmp_path.iterdir()
    assert (kept.name, kept.read_bytes()) == (f"{file.name}.unreadable", content)
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.__dict__["fields"] == {"file": file.name.split(".")[0], "lines": 1}
    assert list(ended_journals(tmp_path)) == []


def test_a_correction_may_be_negative(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    charges = {"budget/b/2026-11": -5}
    correction = hold("a1", phase="adjust", cost_nano=-5, input_tokens=-7, charged_to=charges)
    journal.write(correction)
    end(journal)
    ended = the_ended(tmp_path)
    assert (ended.settlements, ended.unposted) == ({"a1": correction}, 0)


def test_folders_and_other_names_are_no_journals(tmp_path: Path) -> None:
    (tmp_path / "journal-dir.lock").mkdir()
    (tmp_path / "journal-*.lock").touch()
    (tmp_path / "journal-.lock").touch()
    journal = Journal(tmp_path)
    journal.write(hold("a1"))
    assert list(ended_journals(tmp_path)) == []
    (folder,) = tmp_path.glob("*.jsonl")
    folder.with_name(folder.name.replace("000001", "000002")).mkdir()
    end(journal)
    assert [*the_ended(tmp_path).holds] == ["a1"]


def test_a_lost_attempt_is_settled_at_what_it_held() -> None:
    month, day = "budget/b/2026-11", "budget/c/2026-11-01"
    for changes, cost, charges in (
        ({"charged_to": {month: 700, day: 500}, "cost_nano": 900}, 700, {month: 700, day: 500}),
        ({"charged_to": {}, "cost_nano": 900}, 900, {}),
        ({"charged_to": {}}, 0, {}),
        ({"charged_to": {month: -700}, "cost_nano": -700}, 0, {month: 0}),
        ({"charged_to": {}, "cost_nano": -700}, 0, {}),
    ):
        lost = hold("a1", **changes).at_what_was_held()  # type: ignore[arg-type]
        assert (lost.phase, lost.cost_nano, lost.charged_to, lost.is_estimated) == ("settle", cost, charges, True)


def test_files_are_deleted_when_all_of_their_attempts_are_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_SEGMENT_BYTES", 2000)
    journal = Journal(tmp_path)
    journal.note_replica("r")
    for number in range(60):
        journal.write(hold(f"a{number}"))
        journal.write(settlement(f"a{number}"))
    before = len(list(tmp_path.glob("*.jsonl")))
    assert before > 3
    journal.forget([f"a{number}" for number in range(1, 60)])
    assert len(list(tmp_path.glob("*.jsonl"))) == 2, "that of the first attempt, and the current one"
    end(journal)
    ended = the_ended(tmp_path)
    assert "a0" in ended.settlements
    assert set(ended.replicas) == {"r"}


def test_what_waits_for_the_database_for_long_takes_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_SEGMENT_BYTES", 2000)
    journal = Journal(tmp_path)
    for number in range(1000):
        journal.write(hold(f"a{number}"))
    files = sorted(tmp_path.glob("*.jsonl"))
    written = sum(len(file.read_bytes().rstrip(b"\0")) for file in files)
    assert (len(files) - 1) ** 2 < 2 * written / 2000
    journal.sync()
    assert [each.descriptor >= 0 for each in journal._segments] == [*[False] * (len(files) - 1), True]
    end(journal)
    assert len(the_ended(tmp_path).holds) == 1000


def test_a_full_disk_is_an_error_and_later_lines_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_SEGMENT_BYTES", 1000)
    journal = Journal(tmp_path)
    journal.note_replica("r")
    real = os.write

    def fills(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2])

    written = []
    for broken in (fills, no_space):
        monkeypatch.setattr(os, "write", broken)
        with pytest.raises(JournalFull, match="No space"):  # noqa: PT012
            # the file that it has takes some lines more
            for number in count(len(written)):
                journal.write(hold(f"a{number}"))
                written.append(f"a{number}")
        assert len(list(tmp_path.glob("*.jsonl"))) == 1, "what has no room leaves no file"
    assert written
    monkeypatch.setattr(os, "write", real)
    journal.write(hold("b"))
    end(journal)
    ended = the_ended(tmp_path)
    assert ([*ended.holds], ended.unposted) == ([*written, "b"], 0)
    assert ended.replicas == ["r", "r"]


def test_on_a_full_disk_the_last_file_is_used_again_once_all_of_it_is_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_SEGMENT_BYTES", 1000)
    journal = Journal(tmp_path)
    journal.note_replica("r")

    def fill() -> list[str]:
        written: list[str] = []
        with pytest.raises(JournalFull):  # noqa: PT012
            for number in count():
                journal.write(hold(f"a{number}"))
                written.append(f"a{number}")
        return written

    monkeypatch.setattr(os, "write", no_space)
    first = fill()
    journal.forget(first[1:])
    assert fill() == [], "one attempt of the file is not in the database yet"
    with pytest.raises(JournalFull):
        journal.write(hold("long", labels={"label": "x" * 1000}))
    journal.forget(first[:1])
    with pytest.raises(JournalFull):
        journal.write(hold("long", labels={"label": "x" * 1000}))
    assert fill() == first
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    end(journal)
    ended = the_ended(tmp_path)
    assert ([*ended.holds], ended.replicas, ended.unposted) == (first, ["r"], 0)


@pytest.mark.parametrize("part", [slice(20), slice(20, 40), slice(-20, None), slice(None)])
def test_a_line_that_a_kill_cuts_off_is_no_line(tmp_path: Path, part: slice) -> None:
    """A copy to memory may begin with any part of a line. Only its newline comes last."""
    journal = Journal(tmp_path)
    journal.write(hold("a1"))
    segment, line = journal._segments[-1], json.dumps(hold("a2").attempt_id).encode() * 10
    start, stop, _ = part.indices(len(line))
    first = segment.memory.tell()
    segment.memory[first + start : first + stop] = line[part]
    end(journal)
    ended = the_ended(tmp_path)
    assert ([*ended.holds], ended.unposted) == (["a1"], 0)


@pytest.mark.parametrize("room", [0, 1, -1])
def test_a_line_that_fills_a_file_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, room: int
) -> None:
    """room: bytes that are left of the file after the line, without its end."""
    entries = [hold("a1"), hold("a2")]
    monkeypatch.setattr(journals, "_SEGMENT_BYTES", 2 * len(msgspec.json.encode(entries[0])) + 1 + room)
    journal = Journal(tmp_path)
    for entry in entries:
        journal.write(entry)
    end(journal)
    ended = the_ended(tmp_path)
    assert ([*ended.holds.values()], ended.unposted) == (entries, 0)
    assert len(ended.paths) - 1 == (1 if room == 1 else 2)
    assert caplog.messages == []


def test_a_line_that_is_longer_than_a_file_has_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_SEGMENT_BYTES", 600)
    journal = Journal(tmp_path)
    journal.note_replica("r")
    labels = {f"label{number}": "x" * 200 for number in range(20)}
    entries = [hold("a1"), hold("a2", labels=labels), hold("a3")]
    for entry in entries:
        journal.write(entry)
    end(journal)
    assert [*the_ended(tmp_path).holds.values()] == entries


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
