"""The order in which calls that wait for one quota go on: deficit round-robin, by class, then team, then key.

When the turn of a child comes, it gets a quantum times its weight, and its calls are served until they have cost more
than that. The excess is a debt for its next turns, so a large call does not make turns longer. The quantum is the mean
cost of the last calls. While calls wait it only shrinks: if it grew after expensive calls, later turns would be worth
more than earlier ones. The queue does no input or output, and reads no clock.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct

T = TypeVar("T")

# batch calls get what interactive ones leave, and a tenth where both wait
INTERACTIVE_WEIGHT, BATCH_WEIGHT = 1.0, 1 / 9
# the largest debt in quanta: a wrong estimate must not keep a flow waiting without end
_MAX_DEBT = 8
# the weight of the newest call in the mean
_NEWEST = 1 / 16
# a smaller balance is 0: balances are sums of fractions, such as nine ninths
_ROUNDING = 1e-6


class Flow(Struct, frozen=True):
    """Whose call it is. weight: the team's part, where several teams wait. is_batch: interactive calls go first."""

    team: str
    key: str
    weight: float = 1.0
    is_batch: bool = False


class QueuedCall(Struct, Generic[T], eq=False):
    """A call that waits. cost: tokens of the quota."""

    flow: Flow
    cost: int
    item: T
    is_waiting: bool = True


class _Node(Generic[T]):
    """A class, a team or a key. ring: the children that have calls waiting, the one whose turn it is first.

    turned: tokens that a child of the weight 1 has got so far. left_at: `turned` of the parent when the node left.
    """

    __slots__ = ("backlog", "balance", "calls", "children", "left_at", "name", "ring", "turned", "weight", "weights")

    def __init__(self, name: object, weight: float) -> None:
        self.name = name
        self.weight = weight
        self.weights = 0.0
        self.turned = self.left_at = 0.0
        self.balance = 0.0
        self.backlog = 0
        self.children: dict[object, _Node[T]] = {}
        self.ring: deque[_Node[T]] = deque()
        self.calls: deque[QueuedCall[T]] = deque()

    def child(self, name: object, weight: float, *, is_kept: bool) -> _Node[T]:
        """Return a child. is_kept: add it if it does not exist."""
        found = self.children.get(name)
        if found is None:
            found = _Node(name, weight)
            if is_kept:
                self.children[name] = found
        found.weight = weight
        return found

    def enter(self, child: _Node[T]) -> None:
        """Add a child that has calls waiting now."""
        child.balance = self.balance_of(child)
        self.weights += child.weight
        self.ring.append(child)

    def leave(self, child: _Node[T]) -> None:
        """Remove a child that has none any more. Its debt shrinks as if it still took its turns."""
        self.ring.remove(child)
        self.weights -= child.weight
        child.balance, child.left_at = min(child.balance, 0.0), self.turned
        if not child.balance and not child.children:
            del self.children[child.name]

    def balance_of(self, child: _Node[T]) -> float:
        """Return the balance that a child has, or would have if it entered now."""
        if child.backlog:
            return child.balance
        return min(child.balance + (self.turned - child.left_at) * child.weight, 0.0)

    def turn(self, quantum: float) -> _Node[T]:
        """Return the child whose turn it is."""
        ring = self.ring
        passed = 0
        while (child := ring[0]).balance <= _ROUNDING:
            child.balance += quantum * child.weight
            if child.balance > _ROUNDING:
                break
            ring.rotate(-1)
            passed += 1
            if passed == len(ring):
                # all are in debt: the rounds in which none is served are counted at once
                rounds = max(min(-each.balance // (quantum * each.weight) for each in ring), 0.0)
                for each in ring:
                    each.balance += rounds * quantum * each.weight
                passed = 0
        return child

    def served_before(self, child: _Node[T], ahead: float, quantum: float, most: int) -> tuple[float, float]:
        """Return bounds of what other children are served before a call of a child.

        Args:
            ahead: what is served of the child itself before the call. most: the largest cost of a call.
        """
        # the last visit of the child serves the call; one that still has a balance gets no quantum at its first visit
        balance = self.balance_of(child)
        gained = max(int((ahead - balance + _ROUNDING) // (quantum * child.weight)) + 1, 0)
        visits = gained + (balance > _ROUNDING)
        least = largest = 0.0
        is_passed = False
        for other in self.ring:
            if other is child:
                is_passed = True
                continue
            their_visits = visits - is_passed
            if their_visits <= 0:
                continue
            gets = other.balance + (their_visits - (other.balance > _ROUNDING)) * quantum * other.weight
            if gets > -_ROUNDING:
                least += min(max(gets - _ROUNDING, 0.0), other.backlog)
                largest += min(gets + most, other.backlog)
        return least, largest


# root, class, team and key of a call
_Path: TypeAlias = tuple[_Node[T], _Node[T], _Node[T], _Node[T]]


class FairQueue(Generic[T]):
    """Calls that wait. count: their number."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node("", 1.0)
        self._quantum = self._mean = 0.0
        self._most = 0
        self.count = 0

    def __len__(self) -> int:
        return self.count

    @property
    def backlog(self) -> int:
        """What all calls that wait cost together."""
        return self._root.backlog

    def push(self, call: QueuedCall[T]) -> None:
        """Add a call behind the others of its key."""
        path, cost = self._path(call.flow, is_kept=True), max(call.cost, 1)
        self._quantum, self._most = self._quantum_with(cost), max(self._most, cost)
        self._mean = self._mean_with(cost)
        self.count += 1
        path[-1].calls.append(call)
        for parent, node in itertools.pairwise(path):
            if not node.backlog:
                parent.enter(node)
        for node in path:
            # a call that costs nothing counts too, so that its node is known to have calls
            node.backlog += cost

    def peek(self) -> QueuedCall[T] | None:
        """Return the call that is next; None if none waits. It stays the next one until it is popped or removed."""
        if not self.count:
            return None
        node = self._root
        while node.ring:
            node = node.turn(self._quantum)
        return node.calls[0]

    def pop(self, call: QueuedCall[T]) -> None:
        """Remove the call that is next, and charge its flow."""
        path, cost = self._path(call.flow), max(call.cost, 1)
        for parent, node in itertools.pairwise(path):
            node.balance -= cost
            parent.turned += cost / parent.weights
        self._drop(call, path)
        for parent, node in itertools.pairwise(path):
            if parent.ring and parent.ring[0] is node and node.balance <= _ROUNDING:
                parent.ring.rotate(-1)

    def remove(self, call: QueuedCall[T]) -> None:
        """Remove a call that waits no longer, wherever it is. Its flow is not charged."""
        if call.is_waiting:
            self._drop(call, self._path(call.flow))

    def charge(self, flow: Flow, tokens: int) -> None:
        """Charge a flow what its call cost beyond the estimate; less than 0 if it cost less."""
        if not self.count:
            return
        for node in self._path(flow)[1:]:
            least, most = min(node.balance, -_MAX_DEBT * self._quantum), max(node.balance, self._quantum)
            node.balance = min(max(node.balance - tokens, least), most)

    def served_before_new(self, flow: Flow, cost: int) -> tuple[float, float]:
        """Return bounds of what is served before a new call, if no other comes or leaves."""
        path = self._path(flow)
        return self._served_before(path, path[-1].backlog, self._quantum_with(max(cost, 1)), max(self._most, cost))

    def served_before_last(self, flow: Flow) -> tuple[float, float]:
        """Return the same bounds for the last call of a key that waits."""
        path = self._path(flow)
        key = path[-1]
        return self._served_before(path, key.backlog - max(key.calls[-1].cost, 1), self._quantum, self._most)

    def flows(self) -> list[Flow]:
        """Return the flows that have calls waiting."""
        return [key.calls[0].flow for group in self._root.ring for team in group.ring for key in team.ring]

    def last_of(self, flow: Flow) -> QueuedCall[T] | None:
        """Return the call of a flow that is served last; None if none waits."""
        calls = self._path(flow)[-1].calls
        return calls[-1] if calls else None

    def _mean_with(self, cost: int) -> float:
        return self._mean + (cost - self._mean) * _NEWEST if self._mean else float(cost)

    def _quantum_with(self, cost: int) -> float:
        mean = self._mean_with(cost)
        return min(self._quantum, mean) if self.count else mean

    @staticmethod
    def _served_before(path: _Path[T], ahead: int, quantum: float, most: int) -> tuple[float, float]:
        least = largest = float(ahead)
        for parent, node in zip(reversed(path[:-1]), reversed(path[1:]), strict=True):
            lower, upper = parent.served_before(node, least, quantum, most), None
            if largest != least:
                upper = parent.served_before(node, largest, quantum, most)
            least, largest = least + lower[0], largest + (upper or lower)[1]
        return least, largest

    def _path(self, flow: Flow, *, is_kept: bool = False) -> _Path[T]:
        weight = BATCH_WEIGHT if flow.is_batch else INTERACTIVE_WEIGHT
        group = self._root.child(flow.is_batch, weight, is_kept=is_kept)
        team = group.child(flow.team, flow.weight, is_kept=is_kept)
        return self._root, group, team, team.child(flow.key, 1.0, is_kept=is_kept)

    def _drop(self, call: QueuedCall[T], path: _Path[T]) -> None:
        call.is_waiting = False
        self.count -= 1
        path[-1].calls.remove(call)
        for node in path:
            node.backlog -= max(call.cost, 1)
        for parent, node in itertools.pairwise(path):
            if not node.backlog:
                parent.leave(node)
        if not self.count:
            # nobody waits, so nobody owes anybody anything
            self._root, self._quantum, self._most = _Node("", 1.0), 0.0, 0
