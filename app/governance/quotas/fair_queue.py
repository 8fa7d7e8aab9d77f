"""The order in which calls that wait for one quota go on: deficit round-robin, by class, then team, then key.

Each child of a node gets a quantum, times its weight, when its turn comes, and its calls are served until what they
cost exceeds that. What they cost beyond it is a debt for its next turns. The quantum is the largest cost that waits, so
each turn serves at least one call. The queue does no input or output, and knows no time.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")

# batch calls get what interactive ones leave, and a tenth where both wait
INTERACTIVE_WEIGHT, BATCH_WEIGHT = 9.0, 1.0
# a debt is forgotten beyond so many quanta, so that no flow waits without end for an estimate that was wrong
_MAX_DEBT = 8


class Flow(Struct, frozen=True):
    """Whose call it is. weight: the team's part, where several teams wait. is_batch: interactive calls go first."""

    team: str
    key: str
    weight: float = 1.0
    is_batch: bool = False


class Entry(Struct, Generic[T], eq=False):
    """A call that waits. cost: tokens of the quota."""

    flow: Flow
    cost: int
    item: T
    is_waiting: bool = True


class _Node(Generic[T]):
    """A class, a team or a key. ring: the children that have calls waiting, the one whose turn it is first."""

    __slots__ = ("backlog", "balance", "children", "entries", "lightest", "name", "ring", "weight")

    def __init__(self, name: object, weight: float) -> None:
        self.name = name
        self.weight = weight
        self.balance = 0.0
        self.backlog = 0
        self.children: dict[object, _Node[T]] = {}
        self.ring: deque[_Node[T]] = deque()
        self.entries: deque[Entry[T]] = deque()
        self.lightest = 1.0

    def enter(self, child: _Node[T]) -> None:
        """Add a child that has calls waiting now."""
        self.lightest = min(self.lightest, child.weight) if self.ring else child.weight
        self.ring.append(child)

    def leave(self, child: _Node[T]) -> None:
        """Remove a child that has none any more."""
        self.ring.remove(child)
        if child.weight <= self.lightest and self.ring:
            self.lightest = min(other.weight for other in self.ring)

    def child(self, name: object, weight: float, *, is_kept: bool) -> _Node[T]:
        """Return a child. is_kept: one that does not exist is added."""
        found = self.children.get(name)
        if found is None:
            found = _Node(name, weight)
            if is_kept:
                self.children[name] = found
        found.weight = weight
        return found

    def turn(self, quantum: float) -> _Node[T]:
        """Return the child whose turn it is."""
        ring = self.ring
        while True:
            child = ring[0]
            if child.balance <= 0:
                # the lightest child gets one quantum, so that turns are as short as they can be
                child.balance += quantum * child.weight / self.lightest
                if child.balance <= 0:
                    ring.rotate(-1)
                    continue
            return child

    def work_until(self, child: _Node[T], work: float) -> float:
        """Return what the node serves until a child has been served some work, if all get their parts."""
        rounds = work / child.weight
        return work + sum(min(other.backlog, other.weight * rounds) for other in self.ring if other is not child)


class FairQueue(Generic[T]):
    """Calls that wait."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node("", 1.0)
        self._quantum = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def backlog(self) -> int:
        """What all calls that wait cost together."""
        return self._root.backlog

    def push(self, entry: Entry[T]) -> None:
        """Add a call behind the others of its key."""
        path = self._path(entry.flow, is_kept=True)
        self._quantum = max(self._quantum, entry.cost, 1)
        self._count += 1
        path[-1].entries.append(entry)
        for parent, node in itertools.pairwise(path):
            if not node.backlog:
                parent.enter(node)
        for node in path:
            # a call that costs nothing counts too, so that its node is known to have calls
            node.backlog += max(entry.cost, 1)

    def peek(self) -> Entry[T] | None:
        """Return the call that is next; None if none waits. It stays the next one until it is popped or removed."""
        if not self._count:
            return None
        node = self._root
        while node.ring:
            node = node.turn(self._quantum)
        return node.entries[0]

    def pop(self, entry: Entry[T]) -> None:
        """Remove the call that is next, and charge its flow."""
        path = self._path(entry.flow)
        for node in path[1:]:
            node.balance -= entry.cost
        self._drop(entry, path)
        for parent, node in itertools.pairwise(path):
            if parent.ring and parent.ring[0] is node and node.balance <= 0:
                parent.ring.rotate(-1)

    def remove(self, entry: Entry[T]) -> None:
        """Remove a call that waits no longer, wherever it is. Its flow is not charged."""
        if entry.is_waiting:
            self._drop(entry, self._path(entry.flow))

    def charge(self, flow: Flow, tokens: int) -> None:
        """Charge a flow what its call cost beyond the estimate; less than 0 if it cost less."""
        if not self._count:
            return
        for node in self._path(flow)[1:]:
            most = max(node.balance, self._quantum)
            node.balance = min(max(node.balance - tokens, -_MAX_DEBT * self._quantum), most)

    def work_through(self, flow: Flow, more: int = 0) -> float:
        """Return what is served until all calls of a key are, if no more calls come and all flows get their parts.

        Args:
            more: what another call of the key would cost.
        """
        path = self._path(flow)
        work = float(path[-1].backlog + more)
        for parent, node in zip(reversed(path[:-1]), reversed(path[1:]), strict=True):
            work = parent.work_until(node, work)
        return work

    def last_of_flows(self) -> Iterator[Entry[T]]:
        """Return the call of each key that is served last."""
        for group in self._root.ring:
            for team in group.ring:
                for key in team.ring:
                    yield key.entries[-1]

    def _path(self, flow: Flow, *, is_kept: bool = False) -> tuple[_Node[T], _Node[T], _Node[T], _Node[T]]:
        weight = BATCH_WEIGHT if flow.is_batch else INTERACTIVE_WEIGHT
        group = self._root.child(flow.is_batch, weight, is_kept=is_kept)
        team = group.child(flow.team, flow.weight, is_kept=is_kept)
        return self._root, group, team, team.child(flow.key, 1.0, is_kept=is_kept)

    def _drop(self, entry: Entry[T], path: tuple[_Node[T], ...]) -> None:
        entry.is_waiting = False
        self._count -= 1
        path[-1].entries.remove(entry)
        for node in path:
            node.backlog -= max(entry.cost, 1)
        for parent, node in itertools.pairwise(path):
            if not node.backlog:
                parent.leave(node)
                node.balance = min(node.balance, 0.0)
                if not node.balance and not node.children:
                    del parent.children[node.name]
        if not self._count:
            # nobody waits, so nobody owes anybody anything
            self._root, self._quantum = _Node("", 1.0), 0
