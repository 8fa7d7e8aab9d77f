"""Learns what share of their bounds calls use, to estimate calls whose outcome is not known."""

from __future__ import annotations

from collections import OrderedDict, deque
from math import ceil

from app.converse.usage import Usage
from app.governance.holds.bounds import CallBounds

_SAMPLES, _MIN_SAMPLES = 64, 5
_MAX_KINDS = 1_000
_SHARE = 0.95


class UsualTokens:
    """The 95th percentile of the share of its bounds that a call uses, by key and model.

    Calls of other keys do not change the estimates of a key.
    """

    def __init__(self) -> None:
        self._samples: OrderedDict[tuple[str, str], deque[tuple[CallBounds, Usage]]] = OrderedDict()

    def note(self, of: tuple[str, str], bounds: CallBounds, usage: Usage) -> None:
        """Count what a call used. of: its key and model."""
        samples = self._samples.get(of)
        if samples is None:
            if len(self._samples) >= _MAX_KINDS:
                self._samples.popitem(last=False)
            samples = self._samples[of] = deque(maxlen=_SAMPLES)
        samples.append((bounds, usage))

    def estimate(self, of: tuple[str, str], bounds: CallBounds) -> CallBounds:
        """Return the tokens that a call probably used at most; its bounds before enough calls are known."""
        samples = self._samples.get(of, ())
        if len(samples) < _MIN_SAMPLES:
            return bounds
        inputs = sorted(used.prompt / max(each.input, 1) for each, used in samples)
        outputs = sorted(used.output / max(each.output, 1) for each, used in samples)
        index = int(len(samples) * _SHARE)
        return CallBounds(
            min(ceil(inputs[index] * bounds.input), bounds.input),
            min(ceil(outputs[index] * bounds.output), bounds.output),
        )
