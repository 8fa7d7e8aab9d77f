"""Numbers that processes share."""

import os

from app.process.shared_counter import Board, Tally


def test_a_process_alone_counts_for_itself() -> None:
    tally = Tally()
    tally.add(3)
    tally.add(-1)
    assert (tally.own, tally.total, tally.is_shared) == (2, 2, False)


def test_what_a_forked_process_counts_is_seen_until_it_is_forgotten() -> None:
    board = Board(processes=2, tallies=3)
    here = board.tallies(0)
    here[1].add(4)
    pid = os.fork()
    if not pid:
        there = board.tallies(1)
        there[1].add(5 if there[1].total == 4 else 0)
        there[2].add(7)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert [(tally.own, tally.total) for tally in here] == [(0, 0), (4, 9), (0, 7)]
    assert here[1].is_shared
    board.forget(1)
    assert [tally.total for tally in here] == [0, 4, 0]
