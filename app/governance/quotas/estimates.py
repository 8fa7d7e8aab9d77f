"""Estimates what a call will take of a quota before it is sent, from the answers to earlier calls."""

from __future__ import annotations

from collections import OrderedDict, deque

from app.converse.usage import Usage
from app.governance.quotas.arithmetic import Arithmetic
from app.governance.quotas.meters import Need

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

    usual: the mean as a whole number. usual_cost, long_cost: what the first meter takes for both.
    cached: the part of the prompts that was read from a cache.

    Args:
        rate: how many tokens of the first meter an output token takes.
    """

    __slots__ = ("_last", "_mean", "_rate", "cached", "count", "long", "long_cost", "usual", "usual_cost")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._mean = 0.0
        self.usual = self.long = _FIRST_OUTPUT
        self.usual_cost = self.long_cost = _FIRST_OUTPUT * rate
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
        self.usual_cost, self.long_cost = self.usual * self._rate, self.long * self._rate


_UNKNOWN_INPUTS = _Inputs()


class Estimates:
    """What is known of the calls of one pool's model, and of each key.

    Bodies of different sizes have ratios of tokens to bytes of their own, since media have fewer tokens for their bytes
    than text.

    Args:
        arithmetic: how the calls count against the quota.
    """

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._rate = arithmetic.first_rate
        self._texts = _Inputs()
        self._inputs = {0: self._texts}
        self._of_all = _Outputs(self._rate)
        self._of_key: OrderedDict[str, _Outputs] = OrderedDict()
        # of the keys that have enough answers
        self._known: dict[str, _Outputs] = {}

    def first_need(self, key: str, size: int, max_tokens: int) -> tuple[int, int]:
        """Return what a call takes of the first meter, as the fields of `Need`.

        It reserves what AWS reserves, or more if it may take more in the end.

        Args:
            size: bytes of its body. max_tokens: the most that it may answer.
        """
        outputs, inputs = self._known.get(key, self._of_all), self._texts
        if size >= _LARGEST_TEXT:
            size, inputs = self._large(size)
        billed = int(size * inputs.billed) + 1
        reserved = int(size * inputs.prompt) + 1 + max_tokens
        if outputs.long > max_tokens:
            longest, cost = billed + max_tokens * self._rate, billed + min(outputs.usual, max_tokens) * self._rate
        else:
            longest, cost = billed + outputs.long_cost, billed + outputs.usual_cost
        return reserved if reserved > longest else longest, cost

    def needs(self, key: str, size: int, max_tokens: int) -> list[Need]:
        """Return what a call takes of each meter. size, max_tokens: see `first_need`."""
        needs = [Need(*self.first_need(key, size, max_tokens))]
        if self._arithmetic.is_mantle:
            outputs = self._known.get(key, self._of_all)
            needs.append(Need(min(outputs.long, max_tokens), min(outputs.usual, max_tokens)))
        if self._arithmetic.counts_requests:
            needs.append(Need(1, 1))
        return needs

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
            outputs = self._of_key[key] = _Outputs(self._rate)
            if len(self._of_key) > _MAX_FLOWS:
                self._known.pop(self._of_key.popitem(last=False)[0], None)
        outputs.note(usage.output)
        if outputs.count == _MIN_SAMPLES:
            self._known[key] = outputs
        # only new keys need it, so some of the answers suffice
        if outputs.count <= _MIN_SAMPLES or outputs.count % _OF_ALL == 0:
            self._of_all.note(usage.output)
        if read or outputs.cached:
            outputs.cached += (read / max(billed + read, 1) - outputs.cached) * _NEWEST_SHARE

    def _large(self, size: int) -> tuple[int, _Inputs]:
        """Return what is known of the prompts in large bodies, and the size that they count as."""
        inputs = self._inputs.get(size.bit_length() // _SIZES)
        return (_LARGEST_TEXT, _UNKNOWN_INPUTS) if inputs is None else (size, inputs)
