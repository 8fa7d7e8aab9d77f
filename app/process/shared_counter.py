"""Counters over several processes: each process writes only its own cell, and any process reads all of them."""

from __future__ import annotations

import mmap

_WORD = 8


class SharedCounter:
    """The sum of what each process counts.

    Args:
        cells: one count for each process, in memory that all of them map. index: the cell of this process.
    """

    __slots__ = ("cells", "index")

    def __init__(self, cells: memoryview[int] | None = None, index: int = 0) -> None:
        self.cells = memoryview(bytearray(_WORD)).cast("q") if cells is None else cells
        self.index = index

    def add(self, count: int) -> None:
        """Add to the count of this process; a negative count is subtracted."""
        self.cells[self.index] += count

    def put(self, count: int) -> None:
        """Set the count of this process."""
        self.cells[self.index] = count

    @property
    def each(self) -> list[int]:
        """The count of each process."""
        return self.cells.tolist()

    @property
    def own(self) -> int:
        """The count of this process."""
        return self.cells[self.index]

    @property
    def total(self) -> int:
        """The count of all processes. A process that adds before it reads never sees less than the real sum."""
        return sum(self.cells)

    @property
    def is_shared(self) -> bool:
        """True if there are other processes."""
        return len(self.cells) > 1


class SharedCounterArray:
    """Memory for counters, shared with the processes that are forked after it is made.

    Args:
        processes, counters: how many.
    """

    def __init__(self, processes: int, counters: int) -> None:
        self._processes = processes
        self._cells = memoryview(mmap.mmap(-1, _WORD * processes * counters)).cast("q")

    def counters(self, index: int) -> list[SharedCounter]:
        """Return all counters, for the process of this index."""
        starts = range(0, len(self._cells), self._processes)
        return [SharedCounter(self._cells[start : start + self._processes], index) for start in starts]

    def forget(self, index: int) -> None:
        """Set the counts of a process that has ended to zero."""
        for cell in range(index, len(self._cells), self._processes):
            self._cells[cell] = 0
