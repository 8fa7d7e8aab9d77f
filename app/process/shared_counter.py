"""Numbers that several processes add to: each writes only what is its own, and everybody reads them all."""

from __future__ import annotations

import mmap

_WORD = 8


class SharedCounter:
    """A number, the sum of what each process counts.

    Args:
        cells: what each process counts, in memory that all of them see. own: the place of this process among them.
    """

    __slots__ = ("_cells", "_own")

    def __init__(self, cells: memoryview[int] | None = None, own: int = 0) -> None:
        self._cells = memoryview(bytearray(_WORD)).cast("q") if cells is None else cells
        self._own = own

    def add(self, count: int) -> None:
        """Count so many more, or, if it is negative, fewer."""
        self._cells[self._own] += count

    def put(self, count: int) -> None:
        """Count so many, whatever was counted before."""
        self._cells[self._own] = count

    @property
    def each(self) -> list[int]:
        """What each process counts."""
        return self._cells.tolist()

    @property
    def own(self) -> int:
        """What this process counts."""
        return self._cells[self._own]

    @property
    def total(self) -> int:
        """What all processes count. Whoever adds first and looks then never sees less than there is."""
        return sum(self._cells)

    @property
    def is_shared(self) -> bool:
        """True if there are other processes."""
        return len(self._cells) > 1


class SharedCounterArray:
    """Memory for some tallies, which processes share that were forked since.

    Args:
        processes, tallies: how many.
    """

    def __init__(self, processes: int, counters: int) -> None:
        self._processes = processes
        self._cells = memoryview(mmap.mmap(-1, _WORD * processes * counters)).cast("q")

    def counters(self, own: int) -> list[SharedCounter]:
        """All tallies, for one of the processes."""
        starts = range(0, len(self._cells), self._processes)
        return [SharedCounter(self._cells[start : start + self._processes], own) for start in starts]

    def forget(self, process: int) -> None:
        """A process has ended, and counts nothing any more."""
        for index in range(process, len(self._cells), self._processes):
            self._cells[index] = 0
