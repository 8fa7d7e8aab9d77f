"""Tokens spent, in the one way of counting that every dialect derives its own from.

Converse's `inputTokens` excludes what was read from or written to a cache, and its `totalTokens` includes it: in all
nine recorded replies with a cache, total = input + output + read + write. Members may be missing: Claude Sonnet 5
leaves `cacheWriteInputTokens` out, and streams may have no cache members at all.
"""

from typing import Any

from app.kit.values import Struct

_MOST = 10**12
_COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning", "cache_write_1h")


def count_in(counts: dict[str, Any], name: str) -> int:
    """A count; what is none, or not there, counts as nothing."""
    count = counts.get(name)
    if not isinstance(count, int) or isinstance(count, bool):
        return 0
    return count if 0 <= count <= _MOST else 0


def written_in(usage: dict[str, Any]) -> dict[str, int]:
    """The tokens of a `TokenUsage` of Converse's that were cached, by how long they are kept: `5m`, `1h`."""
    details = usage.get("cacheDetails")
    listed = details if isinstance(details, list) else []
    return {
        each["ttl"]: count_in(each, "inputTokens")
        for each in listed
        if isinstance(each, dict) and isinstance(each.get("ttl"), str)
    }


def tier_of(reply: Any) -> str:
    """What the tokens of a reply of Converse's, or of its metadata, are paid by: a service tier, or `optimized`."""
    match reply:
        case {"performanceConfig": {"latency": "optimized"}}:
            return "optimized"
        case {"serviceTier": {"type": str(tier)}}:
            return tier
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
        return cls(
            input=count_in(usage, "inputTokens"),
            output=count_in(usage, "outputTokens"),
            cache_read=count_in(usage, "cacheReadInputTokens"),
            cache_write=count_in(usage, "cacheWriteInputTokens"),
            reasoning=_thinking_tokens(more),
            cache_write_1h=written_in(usage).get("1h", 0),
        )


def kept_for_an_hour(document: Any) -> int:
    """The tokens that an answer of Anthropic's, or the event that begins one, says are cached for an hour.

    Bedrock's own counts, in headers and in the metrics of an invocation, do not tell them from those of five minutes.
    """
    match document:
        case {"message": {"usage": {"cache_creation": {"ephemeral_1h_input_tokens": int(tokens)}}}}:
            return tokens
        case {"usage": {"cache_creation": {"ephemeral_1h_input_tokens": int(tokens)}}}:
            return tokens
        case _:
            return 0


def _thinking_tokens(more: dict[str, Any] | None) -> int:
    match more:
        case {"usage": {"output_tokens_details": {"thinking_tokens": int(tokens)}}}:
            return tokens
        case _:
            return 0
