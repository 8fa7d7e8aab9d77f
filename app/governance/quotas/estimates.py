"""Estimates what a call will take of a quota before it is sent, from the answers to earlier calls."""

from __future__ import annotations

from collections import OrderedDict, deque

from msgspec import Struct

from app.converse.usage import Usage

_MAX_FLOWS = 10_000
_SAMPLES, _MIN_SAMPLES = 64, 3
_SHARE = 0.9
_EVERY, _OF_ALL = 16, 4
# bytes, and tokens of text
_FIRST_RATIOS = [1.0, 0.3, 0.3]
_FIRST_OUTPUT = 150
# smaller bodies have one ratio, and larger ones of up to 16 times the size; the largest usually have media
_SIZES, _LARGEST_TEXT = 4, 65_536
# the weight of the newest sample
_NEWEST, _NEWEST_SHARE = 0.1, 0.3
_KEPT = 0.98


class Estimate(Struct, frozen=True):
    """Tokens of a call. input: all of the prompt. billed: the input without what is read from a cache.

    output: of a usual answer; long_output: of a long one.
    """

    input: int
    billed: int
    output: int
    long_output: int


class _Outputs:
    """The lengths of answers: their mean, and the 90th percentile of the last ones.

    cached: the part of the prompts that was read from a cache.
    """

    __slots__ = ("_last", "cached", "count", "long", "mean")

    def __init__(self) -> None:
        self.mean = 0.0
        self.long = 0
        self.cached = 0.0
        self.count = 0
        self._last: deque[int] = deque(maxlen=_SAMPLES)

    def note(self, output: int) -> None:
        count = self.count = self.count + 1
        self.mean += (output - self.mean) * (_NEWEST if count > 1 / _NEWEST else 1 / count)
        self._last.append(output)
        # sorting costs a microsecond
        if count % _EVERY == 0 or count <= _EVERY:
            self.long = sorted(self._last)[int(len(self._last) * _SHARE)]


class Estimates:
    """What is known of the calls of one pool's model, and of each key.

    The ratios are of tokens to bytes of the model's calls, the older ones counting less. Bodies of different sizes have
    their own, since media have fewer tokens for their bytes than text.
    """

    def __init__(self) -> None:
        # bytes, and tokens of the prompts and of what was billed of them
        self._ratios: dict[int, list[float]] = {}
        self._of_all = _Outputs()
        self._of_key: OrderedDict[str, _Outputs] = OrderedDict()

    def estimate(self, key: str, size: int, max_tokens: int) -> Estimate:
        """Return what a call will take. size: bytes of its body. max_tokens: the most that it may answer."""
        outputs = self._of_key.get(key)
        if outputs is None or outputs.count < _MIN_SAMPLES:
            outputs = self._of_all
        mean, long = int(outputs.mean), outputs.long
        if outputs.count < _MIN_SAMPLES:
            mean = long = _FIRST_OUTPUT
        long = max(long, mean)
        ratios = self._ratios.get(0 if size < _LARGEST_TEXT else size.bit_length() // _SIZES)
        if ratios is None:
            size, ratios = min(size, _LARGEST_TEXT), _FIRST_RATIOS
        return Estimate(
            int(size / ratios[0] * ratios[1]) + 1,
            int(size / ratios[0] * ratios[2]) + 1,
            mean if mean < max_tokens else max_tokens,
            long if long < max_tokens else max_tokens,
        )

    def cached_share(self, key: str) -> float:
        """Return the part of a key's last prompts that was read from a cache."""
        outputs = self._of_key.get(key)
        return 0.0 if outputs is None else outputs.cached

    def note(self, key: str, size: int, usage: Usage) -> None:
        """Learn from the answer to a call."""
        billed, read = usage.input + usage.cache_write, usage.cache_read
        of_size = 0 if size < _LARGEST_TEXT else size.bit_length() // _SIZES
        ratios = self._ratios.get(of_size)
        if ratios is None:
            ratios = self._ratios[of_size] = [0.0, 0.0, 0.0]
        ratios[0] = ratios[0] * _KEPT + max(size, 1)
        ratios[1] = ratios[1] * _KEPT + billed + read
        ratios[2] = ratios[2] * _KEPT + billed
        outputs = self._of_key.get(key)
        if outputs is None:
            outputs = self._of_key[key] = _Outputs()
            if len(self._of_key) > _MAX_FLOWS:
                self._of_key.popitem(last=False)
        outputs.note(usage.output)
        # only new keys need it, so some of the answers suffice
        if outputs.count <= _MIN_SAMPLES or outputs.count % _OF_ALL == 0:
            self._of_all.note(usage.output)
        if read or outputs.cached:
            outputs.cached += (read / max(billed + read, 1) - outputs.cached) * _NEWEST_SHARE
