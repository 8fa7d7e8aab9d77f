"""The gate on the CPU of a request: what it compares with, and when it fails."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.gate import ALLOWED, PAIRS, checkout, is_undecided, is_worse, merge_base

ABOVE, WITHIN = ALLOWED + 0.02, ALLOWED - 0.02


@pytest.mark.parametrize(
    ("ratios", "goes_on", "fails"),
    [
        ([], True, False),
        ([WITHIN], True, False),
        ([WITHIN, WITHIN], False, False),
        ([ABOVE] * (PAIRS - 1), True, False),
        ([ABOVE] * (PAIRS - 2) + [WITHIN, WITHIN], False, False),
        ([ABOVE] * (PAIRS - 1) + [WITHIN], False, True),
        ([ABOVE] * PAIRS, False, True),
    ],
)
def test_the_gate_fails_if_only_one_pair_is_within_the_bound(ratios: list[float], goes_on: bool, fails: bool) -> None:
    assert is_undecided(ratios) is goes_on
    assert is_worse(ratios) is fails


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(root: Path, text: str) -> str:
    (root / "requirements.txt").write_text("")
    (root / "file").write_text(text)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", text)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path


def test_a_first_commit_has_nothing_to_compare_with(repository: Path) -> None:
    commit(repository, "first")
    assert merge_base(repository) is None


def test_a_branch_is_compared_with_its_merge_base(repository: Path) -> None:
    base = commit(repository, "first")
    git(repository, "update-ref", "refs/remotes/origin/main", base)
    commit(repository, "second")
    commit(repository, "third")
    assert merge_base(repository) == base


def test_main_is_compared_with_the_commit_before(repository: Path) -> None:
    before = commit(repository, "first")
    git(repository, "update-ref", "refs/remotes/origin/main", commit(repository, "second"))
    assert merge_base(repository) == before


def test_a_checkout_holds_the_revision_and_is_removed(repository: Path) -> None:
    revision = commit(repository, "first")
    commit(repository, "second")
    with checkout(revision, repository) as (folder, _):
        assert (folder / "file").read_text() == "first"
    assert not folder.exists()
    assert git(repository, "worktree", "list").count("\n") == 0
