"""Estimates what a call will take of a quota before it is sent, from the answers to earlier calls."""

from __future__ import annotations

from collections import OrderedDict, deque

from msgspec import Struct

from app.converse.usage import Usage

_MAX_FLOWS = 10_000
_SAMPLES, _MIN_SAMPLES = 64, 3
_SHARE = 0.9
_EVERY, _OF_ALL = 16, 4
# tokens of text for each byte, and of an answer
_FIRST_RATIO, _FIRST_OUTPUT = 0.3, 150
# smaller bodies have one ratio, and larger ones of up to 16 times the size; the largest usually have media
_SIZES, _LARGEST_TEXT = 4, 65_536
# the weight of the newest sample
_NEWEST, _NEWEST_SHARE = 0.1, 0.3
# among so many all have the same
_FIRST = 1 / _NEWEST
_KEPT = 0.98


class Estimate(Struct, frozen=True, gc=False):
    """Tokens of a call. input: all of the prompt. billed: the input without what is read from a cache.

    output: of a usual answer; long_output: of a long one.
    """

    input: int
    billed: int
    output: int
    long_output: int


class _Inputs:
    """The prompts in bodies of about one size, the older ones counting less.

    prompt, billed: tokens for each byte; billed is the part that was not read from a cache.
    """

    __slots__ = ("_billed", "_bytes", "_prompt", "billed", "prompt")

    def __init__(self) -> None:
        self._bytes = self._prompt = self._billed = 0.0
        self.prompt = self.billed = _FIRST_RATIO

    def note(self, size: int, prompt: int, billed: int) -> None:
        noted = self._bytes = self._bytes * _KEPT + (size or 1)
        self._prompt = self._prompt * _KEPT + prompt
        self._billed = self._billed * _KEPT + billed
        self.prompt, self.billed = self._prompt / noted, self._billed / noted


class _Outputs:
    """The lengths of answers: their mean, and the 90th percentile of the last ones, which is no less.

    usual: the mean as a whole number. cached: the part of the prompts that was read from a cache.
    """

    __slots__ = ("_last", "_mean", "cached", "count", "long", "usual")

    def __init__(self) -> None:
        self._mean = 0.0
        self.usual = self.long = _FIRST_OUTPUT
        self.cached = 0.0
        self.count = 0
        self._last: deque[int] = deque(maxlen=_SAMPLES)

    def note(self, output: int) -> None:
        count = self.count = self.count + 1
        self._mean += (output - self._mean) * (_NEWEST if count > _FIRST else 1 / count)
        self._last.append(output)
        if count < _MIN_SAMPLES:
            return
        self.usual = int(self._mean)
        # sorting costs a microsecond
        if count % _EVERY == 0 or count <= _EVERY:
            self.long = sorted(self._last)[int(len(self._last) * _SHARE)]
        self.long = max(self.long, self.usual)


_UNKNOWN_INPUTS = _Inputs()


class Estimates:
    """What is known of the calls of one pool's model, and of each key.

    Bodies of different sizes have ratios of tokens to bytes of their own, since media have fewer tokens for their bytes
    than text.
    """

    def __init__(self) -> None:
        self._inputs: dict[int, _Inputs] = {}
        self._of_all = _Outputs()
        self._of_key: OrderedDict[str, _Outputs] = OrderedDict()

    def estimate(self, key: str, size: int, max_tokens: int) -> Estimate:
        """Return what a call will take. size: bytes of its body. max_tokens: the most that it may answer."""
        outputs = self._of_key.get(key, self._of_all)
        if outputs.count < _MIN_SAMPLES:
            outputs = self._of_all
        inputs = self._inputs.get(0 if size < _LARGEST_TEXT else size.bit_length() // _SIZES)
        if inputs is None:
            size, inputs = min(size, _LARGEST_TEXT), _UNKNOWN_INPUTS
        usual, long = outputs.usual, outputs.long
        return Estimate(
            int(size * inputs.prompt) + 1,
            int(size * inputs.billed) + 1,
            usual if usual < max_tokens else max_tokens,
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
        inputs = self._inputs.get(of_size)
        if inputs is None:
            inputs = self._inputs[of_size] = _Inputs()
        inputs.note(size, billed + read, billed)
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
