"""What a call will take of a quota, before it is sent: learned from the answers to earlier calls."""

from __future__ import annotations

from collections import OrderedDict, deque

from msgspec import Struct

from app.converse.usage import Usage

_MAX_FLOWS = 10_000
_SAMPLES, _MIN_SAMPLES = 64, 3
_SHARE = 0.9
_EVERY = 16
# of text; media have fewer
_FIRST_TOKENS_PER_BYTE = 0.3
_FIRST_OUTPUT = 150
# what a sample weighs against all before it
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


class _Ratios(Struct):
    """Tokens and bytes of a model's calls, the older ones counting less."""

    size: float = 1.0
    prompt: float = _FIRST_TOKENS_PER_BYTE
    billed: float = _FIRST_TOKENS_PER_BYTE

    def note(self, size: int, usage: Usage) -> None:
        self.size = self.size * _KEPT + size
        self.prompt = self.prompt * _KEPT + usage.prompt
        self.billed = self.billed * _KEPT + usage.input + usage.cache_write


class _Outputs:
    """The lengths of answers: their mean, and the 90th percentile of the last ones.

    cached: the part of the prompts that was read from a cache.
    """

    __slots__ = ("_count", "_last", "cached", "long", "mean")

    def __init__(self) -> None:
        self.mean = 0.0
        self.long = 0
        self.cached = 0.0
        self._count = 0
        self._last: deque[int] = deque(maxlen=_SAMPLES)

    @property
    def is_known(self) -> bool:
        return self._count >= _MIN_SAMPLES

    def note(self, output: int) -> None:
        self._count += 1
        self.mean += (output - self.mean) * max(_NEWEST, 1 / self._count)
        self._last.append(output)
        # sorting costs a microsecond
        if self._count % _EVERY == 0 or self._count <= _EVERY:
            self.long = sorted(self._last)[int(len(self._last) * _SHARE)]


class Estimates:
    """What is known of the calls of one pool's model, and of each key."""

    def __init__(self) -> None:
        self._ratios = _Ratios()
        self._of_all = _Outputs()
        self._of_key: OrderedDict[str, _Outputs] = OrderedDict()

    def estimate(self, key: str, size: int, max_tokens: int) -> Estimate:
        """Return what a call will take. size: bytes of its body. max_tokens: the most that it may answer."""
        ratios = self._ratios
        outputs = self._of_key.get(key)
        if outputs is None or not outputs.is_known:
            outputs = self._of_all
        mean, long = (int(outputs.mean), outputs.long) if outputs.is_known else (_FIRST_OUTPUT, _FIRST_OUTPUT)
        return Estimate(
            int(size * ratios.prompt / ratios.size) + 1,
            int(size * ratios.billed / ratios.size) + 1,
            min(mean, max_tokens),
            min(max(long, mean), max_tokens),
        )

    def cached_share(self, key: str) -> float:
        """Return the part of a key's last prompts that was read from a cache."""
        outputs = self._of_key.get(key)
        return 0.0 if outputs is None else outputs.cached

    def note(self, key: str, size: int, usage: Usage) -> None:
        """Learn from the answer to a call."""
        self._ratios.note(size, usage)
        self._of_all.note(usage.output)
        outputs = self._of_key.get(key)
        if outputs is None:
            outputs = self._of_key[key] = _Outputs()
            if len(self._of_key) > _MAX_FLOWS:
                self._of_key.popitem(last=False)
        outputs.note(usage.output)
        if usage.cache_read or outputs.cached:
            outputs.cached += (usage.cache_read / max(usage.prompt, 1) - outputs.cached) * _NEWEST_SHARE
