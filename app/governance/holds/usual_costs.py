"""Learns what calls usually cost, for budgets that are only estimated."""

from collections import OrderedDict, deque

_SAMPLES, _MIN_SAMPLES = 100, 20
_MAX_ENTRIES = 10_000
_SHARE = 0.95


class UsualCosts:
    """The 95th percentile of the share of its worst case that a call cost, by budget and model."""

    def __init__(self) -> None:
        self._shares: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def note(self, budget_id: str, model: str, worst_nano: int, cost_nano: int) -> None:
        """Count what a call cost."""
        if worst_nano <= 0:
            return
        key = budget_id, model
        shares = self._shares.setdefault(key, deque(maxlen=_SAMPLES))
        shares.append(cost_nano / worst_nano)
        self._shares.move_to_end(key)
        if len(self._shares) > _MAX_ENTRIES:
            self._shares.popitem(last=False)

    def estimate(self, budget_id: str, model: str, worst_nano: int) -> int:
        """Return what a call probably costs at most; the worst case before enough calls are known."""
        shares = self._shares.get((budget_id, model), ())
        if len(shares) < _MIN_SAMPLES:
            return worst_nano
        return min(int(sorted(shares)[int(len(shares) * _SHARE)] * worst_nano) + 1, worst_nano)
