"""Quotas of tokens per minute, enforced as Bedrock does, if BEDROCK_EMULATOR_TPM is set.

When a call starts, its input and its `max_tokens` are taken from the quota of its model or inference profile. In the
end the unused part comes back: input, cache writes and output times the model's rate count, cache reads do not. A quota
is refilled evenly. So much of it may be used at once as BEDROCK_EMULATOR_TPM_BURST seconds refill. Calls that start
together are throttled even where there is room (aws-samples, traffic shaping for Amazon Bedrock, 2026).
"""

import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from app.converse.events import Event
from app.converse.reply import TokenUsage
from app.converse.request import ConverseRequest
from app.emulator import tokens
from app.emulator.catalog import Model
from app.emulator.errors import ServiceError

_MINUTE = 60.0
BURST_SECONDS = 10.0
# of more than two calls that start within so many seconds, no more than refills in so many is accepted
_TOGETHER_SECONDS, _TOGETHER_WORTH, _MIN_TOGETHER = 0.2, 2.0, 2
_MAX_POOLS = 1000
_THROTTLED = "Too many tokens, please wait before trying again."

# tokens of the quota for one output token (AWS user guide, token burndown, 2026-10)
_RATES = (
    (re.compile(r"anthropic\.claude-opus-4-8\b"), 15),
    (re.compile(r"anthropic\.claude-(fable|mythos|opus|sonnet|haiku)-5"), 10),
    (re.compile(r"anthropic\.claude"), 5),
    (re.compile(r"openai\.gpt-(5\.6|6)"), 10),
)


def output_rate(model: Model, *, is_mantle: bool) -> int:
    """Tokens of the quota for one output token."""
    return 1 if is_mantle else next((rate for pattern, rate in _RATES if pattern.match(model.id)), 1)


@dataclass(slots=True)
class Pool:
    """One quota, and what was done with it.

    free: what may be taken. settled: tokens of all calls that ended. calls, throttled: calls that started or did not.
    """

    per_minute: int
    burst: float
    free: float
    at: float
    settled: int = 0
    calls: int = 0
    throttled: int = 0
    _starts: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, amount: int, now: float) -> bool:
        """Take what a call reserves; False if it is throttled. A call that exceeds the burst needs all of it."""
        self._refill(now)
        while self._starts and self._starts[0][0] <= now - _TOGETHER_SECONDS:
            self._starts.popleft()
        together = sum(started for _, started in self._starts) + amount
        is_burst = len(self._starts) >= _MIN_TOGETHER and together > self.per_minute / _MINUTE * _TOGETHER_WORTH
        if is_burst or min(amount, self.burst) > self.free:
            self.throttled += 1
            return False
        self.free -= amount
        self.calls += 1
        self._starts.append((now, amount))
        return True

    def settle(self, reserved: int, used: int, now: float) -> None:
        """End a call: give back what it reserved, and take what it used."""
        self._refill(now)
        self.free = min(self.free + reserved - used, self.burst)
        self.settled += used

    def _refill(self, now: float) -> None:
        self.free = min(self.free + (now - self.at) * self.per_minute / _MINUTE, self.burst)
        self.at = now


class Quotas:
    """The quotas of all models and inference profiles, which are equally large."""

    def __init__(
        self, per_minute: int, burst_seconds: float = BURST_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_minute = per_minute
        self._burst = per_minute * burst_seconds / _MINUTE
        self._clock = clock
        self.pools: dict[str, Pool] = {}

    def pool(self, name: str) -> Pool:
        """The quota of a model or inference profile."""
        found = self.pools.get(name)
        if found is None:
            if len(self.pools) >= _MAX_POOLS:
                del self.pools[next(iter(self.pools))]
            found = self.pools[name] = Pool(self._per_minute, self._burst, self._burst, self._clock())
        return found

    async def metered(
        self, model: Model, request: ConverseRequest, events: AsyncIterator[Event]
    ) -> AsyncIterator[Event]:
        """The events of a call, which takes from the quota of `model.quota`.

        Raises:
            ServiceError: a ThrottlingException.
        """
        limit = (request.get("inferenceConfig") or {}).get("maxTokens") or model.max_output_tokens
        reserved = used = tokens.count_request(request) + limit
        pool = self.pool(model.quota)
        if not pool.take(reserved, self._clock()):
            raise ServiceError("ThrottlingException", _THROTTLED)
        try:
            async for event in events:
                if "metadata" in event:
                    used = _used(event["metadata"]["usage"], output_rate(model, is_mantle=model.is_on_mantle))
                yield event
        finally:
            pool.settle(reserved, used, self._clock())


def with_quota(model: Model, name: str, *, is_mantle: bool = False) -> Model:
    """The model as it is called by a name: that of a profile has a quota of its own, and so has mantle."""
    geography = name.partition(".")[0]
    profile = geography if name.startswith(f"{geography}.{model.id}") else ""
    return replace(
        model, quota=" ".join(filter(None, (profile, model.id, "mantle" * is_mantle))), is_on_mantle=is_mantle
    )


def _used(usage: TokenUsage, rate: int) -> int:
    return usage["inputTokens"] + usage.get("cacheWriteInputTokens", 0) + usage["outputTokens"] * rate
