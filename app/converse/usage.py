"""Tokens spent, in the one way of counting that every dialect derives its own from.

Converse's `inputTokens` excludes what was read from or written to a cache, and its `totalTokens` includes it: in all
nine recorded replies with a cache, total = input + output + read + write. Members may be missing: Claude Sonnet 5
leaves `cacheWriteInputTokens` out, and streams may have no cache members at all.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

_MAX = 10**12
_CONVERSE_COUNTS = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
_COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning", "cache_write_1h")


def count_in(counts: dict[str, Any], name: str) -> int:
    """A count; what is none, or not there, counts as nothing."""
    count = counts.get(name)
    if not isinstance(count, int) or isinstance(count, bool):
        return 0
    return count if 0 <= count <= _MAX else 0


def written_in(usage: dict[str, Any]) -> dict[str, int]:
    """The tokens of a `TokenUsage` of Converse's that were cached, by how long they are kept: `5m`, `1h`."""
    details = usage.get("cacheDetails")
    listed = details if isinstance(details, list) else []
    written: dict[str, int] = {}
    for each in listed:
        if isinstance(each, dict) and isinstance(ttl := each.get("ttl"), str):
            written[ttl] = written.get(ttl, 0) + count_in(each, "inputTokens")
    return written


def tier_of(reply: Any) -> str:
    """What the tokens of a call of Converse's are paid by: a service tier, or `optimized`; as its reply or its metadata
    tells, or its request, which has the same members. Beyond the quota of what is optimized it is not.
    """
    match reply:
        case {"performanceConfig": {"latency": "optimized"}}:
            return "optimized"
        case {"serviceTier": {"type": str(tier)}}:
            return tier
        case {
            "performanceConfig": {"latency": str()}
        }:  # what is over the quota of the optimized is served like all else
            return "default"
        case _:
            return ""


class Usage(Struct, frozen=True):
    """Token counts of one call; `input` excludes the cached ones, `output` includes those of thoughts, `reasoning`,
    and `cache_write` those that are kept for an hour, `cache_write_1h`.

    is_final: False while more is to come. rounds: the parts, where the model was run several times for one answer.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0
    is_final: bool = True
    rounds: "tuple[Usage, ...]" = ()

    def counts(self) -> dict[str, int]:
        """The counts by their names."""
        return {name: getattr(self, name) for name in _COUNTS}

    @property
    def prompt(self) -> int:
        """All tokens of the input, cached or not."""
        return self.input + self.cache_read + self.cache_write

    @classmethod
    def of_rounds(cls, rounds: "tuple[Usage, ...]", *, is_final: bool = True) -> "Usage":
        """All of them together."""
        sums = {name: sum(getattr(each, name) for each in rounds) for name in _COUNTS}
        return cls(**sums, is_final=is_final, rounds=rounds)

    @classmethod
    def of(cls, usage: dict[str, Any] | None, more: dict[str, Any] | None = None) -> "Usage":
        """Read a `TokenUsage` of Converse; what is not there counts as nothing.

        Args:
            more: `additionalModelResponseFields`, where Claude tells how many tokens its thoughts took.
        """
        usage = usage or {}
        sent, given, read, written = [
            count if type(count) is int and 0 <= count <= _MAX else 0 for count in map(usage.get, _CONVERSE_COUNTS)
        ]
        hour = written_in(usage).get("1h", 0) if "cacheDetails" in usage else 0
        return cls(sent, given, read, written, _reasoning_tokens(more) if more else 0, hour)

    @classmethod
    def of_message(cls, usage: dict[str, Any], *, is_final: bool = True) -> "Usage":
        """Read the `usage` of one of Anthropic's messages, round by round where it lists its `iterations`: its own
        counts leave out what was compacted, which is paid (Anthropic, Compaction; anthropic-sdk-python, BetaUsage).
        """
        whole = _counted_in(usage, is_final=is_final)
        rounds = _rounds_in(usage)
        if not rounds:
            return whole
        # other models have other prices
        is_of_one_model = not any("model" in each for each in usage["iterations"])
        return replace(cls.of_rounds(rounds, is_final=is_final and is_of_one_model), reasoning=whole.reasoning)

    def as_told_in(self, *documents: Any) -> "Usage":
        """The same, with what only an answer of Anthropic's, or the events of one, tells: its rounds, and what is
        cached for an hour. Bedrock's own counts, in headers and in the metrics of an invocation, tell neither.
        """
        usage = self
        for document in documents:
            match document:
                case {"message": {"usage": dict(told)}} | {"usage": dict(told)}:
                    usage = Usage.of_message(told) if _rounds_in(told) else usage._with_kept(_counted_in(told))
        return usage

    def _with_kept(self, told: "Usage") -> "Usage":
        kept = max(told.cache_write_1h, self.cache_write_1h)
        return replace(self, cache_write=max(self.cache_write, kept), cache_write_1h=kept)


def _counted_in(usage: dict[str, Any], *, is_final: bool = True) -> Usage:
    written, spent = usage.get("cache_creation"), usage.get("output_tokens_details")
    return Usage(
        input=count_in(usage, "input_tokens"),
        output=count_in(usage, "output_tokens"),
        cache_read=count_in(usage, "cache_read_input_tokens"),
        cache_write=count_in(usage, "cache_creation_input_tokens"),
        reasoning=count_in(spent, "thinking_tokens") if isinstance(spent, dict) else 0,
        cache_write_1h=count_in(written, "ephemeral_1h_input_tokens") if isinstance(written, dict) else 0,
        is_final=is_final,
    )


def _rounds_in(usage: dict[str, Any]) -> tuple[Usage, ...]:
    """The rounds that are listed; none where one of them makes no sense, since the others alone are not the whole."""
    listed = usage.get("iterations")
    rounds = listed if isinstance(listed, list) else []
    is_right = all(isinstance(each, dict) and {"input_tokens", "output_tokens"} <= each.keys() for each in rounds)
    return tuple(_counted_in(each) for each in rounds) if is_right else ()


def _reasoning_tokens(more: dict[str, Any] | None) -> int:
    match more:
        case {"usage": {"output_tokens_details": {"thinking_tokens": int(tokens)}}}:
            return tokens
        case _:
            return 0
