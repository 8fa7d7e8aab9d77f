"""Token counts of a call, from which every dialect derives its own.

Converse's `inputTokens` excludes what was read from or written to a cache, and its `totalTokens` includes it: in all
nine recorded replies with a cache, total = input + output + read + write. Members may be missing: Claude Sonnet 5
leaves `cacheWriteInputTokens` out, and streams may have no cache members at all.
"""

from typing import Annotated, TypeVar

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import replace

from app.wire.json import JsonObject

_MAX = 10**12
_Count = Annotated[int, Meta(ge=0, le=_MAX)]
_TIER_MEMBERS = frozenset({"serviceTier", "performanceConfig"})
_Counts = TypeVar("_Counts", "_TokenUsage", "_MessageUsage")
_COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning", "cache_write_1h")


def count_in(counts: JsonObject, name: str) -> int:
    """Return a count; 0 where it is missing or no count."""
    count = counts.get(name)
    return count if type(count) is int and 0 <= count <= _MAX else 0


def written_in(usage: JsonObject) -> dict[str, int]:
    """Return the tokens of Converse's `TokenUsage` that were written to a cache, by their `ttl`: `5m`, `1h`."""
    details = usage.get("cacheDetails")
    listed = details if isinstance(details, list) else []
    written: dict[str, int] = {}
    for each in listed:
        if isinstance(each, dict) and isinstance(ttl := each.get("ttl"), str):
            written[ttl] = written.get(ttl, 0) + count_in(each, "inputTokens")
    return written


def tier_of(reply: object) -> str:
    """Return the service tier, or `optimized`, by which the tokens of a call are priced; empty if it is not named.

    Args:
        reply: the reply, the metadata or the request of Converse, which have the same members.
    """
    if isinstance(reply, dict) and _TIER_MEMBERS.isdisjoint(reply):
        return ""  # nearly always; the patterns take ten times as long
    match reply:
        case {"performanceConfig": {"latency": "optimized"}}:
            return "optimized"
        case {"serviceTier": {"type": str(tier)}}:
            return tier
        case {"performanceConfig": {"latency": str()}}:
            # a call beyond the quota of the optimized latency is served as a standard one
            return "default"
        case _:
            return ""


class _TokenUsage(Struct, frozen=True, gc=False, rename="camel"):
    """The counts of Converse's `TokenUsage`."""

    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_input_tokens: _Count = 0
    cache_write_input_tokens: _Count = 0


class _MessageUsage(Struct, frozen=True, gc=False):
    """The counts of the `usage` of a message of Anthropic's."""

    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_input_tokens: _Count = 0
    cache_creation_input_tokens: _Count = 0


def _counts_in(usage: JsonObject, kind: type[_Counts]) -> _Counts:
    """Return counts; 0 for each that is missing or no count."""
    try:
        return convert(usage, kind)
    except ValidationError:
        return convert({name: count_in(usage, name) for name in usage}, kind)


class Usage(Struct, frozen=True, gc=False):
    """Token counts of one call.

    `input` excludes cached tokens. `output` includes `reasoning`. `cache_write` includes `cache_write_1h`.
    is_final: False until the answer is complete. rounds: the counts of each run of the model, where one answer took
        several runs.
    guardrail_units: what a guardrail has examined; see `converse.guardrail_units`.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0
    is_final: bool = True
    rounds: "tuple[Usage, ...]" = ()
    guardrail_units: tuple[tuple[str, int], ...] = ()

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return {
            "input": self.input,
            "output": self.output,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write,
            "reasoning": self.reasoning,
            "cache_write_1h": self.cache_write_1h,
        }

    @property
    def prompt(self) -> int:
        """All tokens of the input, cached ones included."""
        return self.input + self.cache_read + self.cache_write

    @classmethod
    def of_rounds(cls, rounds: "tuple[Usage, ...]", *, is_final: bool = True) -> "Usage":
        """Return the sums of all rounds."""
        sums = {name: sum(getattr(each, name) for each in rounds) for name in _COUNTS}
        return cls(**sums, is_final=is_final, rounds=rounds)

    @classmethod
    def of(cls, usage: JsonObject | None, more: JsonObject | None = None) -> "Usage":
        """Read Converse's `TokenUsage`; a missing count is 0.

        Args:
            more: `additionalModelResponseFields`, in which Claude reports its reasoning tokens.
        """
        usage = usage or {}
        counts = _counts_in(usage, _TokenUsage)
        return cls(
            counts.input_tokens,
            counts.output_tokens,
            counts.cache_read_input_tokens,
            counts.cache_write_input_tokens,
            _reasoning_tokens(more) if more else 0,
            written_in(usage).get("1h", 0) if "cacheDetails" in usage else 0,
        )

    @classmethod
    def of_message(cls, usage: JsonObject, *, is_final: bool = True) -> "Usage":
        """Read the `usage` of a message of Anthropic's, by round where it has `iterations`.

        Its own counts exclude compaction, which is billed (Anthropic, Compaction; anthropic-sdk-python, BetaUsage).
        """
        whole = _counted_in(usage, is_final=is_final)
        rounds = _rounds_in(usage)
        if not rounds:
            return whole
        # other models have other prices
        is_of_one_model = not any("model" in each for each in usage["iterations"])
        return replace(cls.of_rounds(rounds, is_final=is_final and is_of_one_model), reasoning=whole.reasoning)

    def with_details_of(self, *documents: object) -> "Usage":
        """Return these counts with the rounds and `cache_write_1h` of a message of Anthropic's, or of its events.

        Bedrock's own counts, in headers and in the metrics of an invocation, have neither.
        """
        usage = self
        for document in documents:
            match document:
                case {"message": {"usage": dict(found)}} | {"usage": dict(found)}:
                    usage = (
                        Usage.of_message(found) if _rounds_in(found) else usage._with_cache_details(_counted_in(found))
                    )
        return usage

    def _with_cache_details(self, other: "Usage") -> "Usage":
        kept = max(other.cache_write_1h, self.cache_write_1h)
        return replace(self, cache_write=max(self.cache_write, kept), cache_write_1h=kept)


def _counted_in(usage: JsonObject, *, is_final: bool = True) -> Usage:
    written, spent = usage.get("cache_creation"), usage.get("output_tokens_details")
    counts = _counts_in(usage, _MessageUsage)
    return Usage(
        input=counts.input_tokens,
        output=counts.output_tokens,
        cache_read=counts.cache_read_input_tokens,
        cache_write=counts.cache_creation_input_tokens,
        reasoning=count_in(spent, "thinking_tokens") if isinstance(spent, dict) else 0,
        cache_write_1h=count_in(written, "ephemeral_1h_input_tokens") if isinstance(written, dict) else 0,
        is_final=is_final,
    )


def _rounds_in(usage: JsonObject) -> tuple[Usage, ...]:
    """Return the rounds of a message; none where one of them is malformed."""
    rounds = usage.get("iterations")
    if not isinstance(rounds, list):
        return ()
    is_right = all(isinstance(each, dict) and {"input_tokens", "output_tokens"} <= each.keys() for each in rounds)
    return tuple(_counted_in(each) for each in rounds) if is_right else ()


def _reasoning_tokens(more: JsonObject | None) -> int:
    match more:
        case {"usage": {"output_tokens_details": {"thinking_tokens": int(tokens)}}}:
            return tokens
        case _:
            return 0
