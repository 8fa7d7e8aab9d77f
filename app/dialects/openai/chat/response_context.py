"""What a translator of answers must know of the request: nothing of it is in the answer itself."""

from typing import Any

from msgspec import Struct

from app.converse.usage import Usage

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "content_filter",
}
MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})


class ChatFacts(Struct, frozen=True):
    """id and created (seconds since the epoch) of the answer, the model as the caller named it, and what was asked.

    custom_tools: names of tools whose input is free text. include_usage: a stream ends with its usage.
    """

    id: str
    created: int
    model: str
    custom_tools: frozenset[str] = frozenset()
    include_usage: bool = False


def finish_reason(stop_reason: str, *, has_calls: bool) -> str:
    """OpenAI's finish_reason. A stop for tools that only the provider ran is a plain stop; where there
    are calls, some models say that their turn is over, and agents would not carry them out (strands-agents/harness-sdk
    #644 for gpt-oss, #767 for Claude).

    Source: docs/reference/contracts/mapping.md#stop-reasons
    """
    if stop_reason in ("tool_use", "end_turn"):
        return "tool_calls" if has_calls else "stop"
    return FINISH_REASONS.get(stop_reason, "stop")


def usage_body(usage: Usage) -> dict[str, Any]:
    """OpenAI's usage: prompt tokens include the cached ones.

    Source: docs/reference/contracts/mapping.md#usage
    """
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def annotation(citation: dict[str, Any], start: int, end: int) -> dict[str, Any] | None:
    """OpenAI's annotation for a citation of the web, by the span of the text that it bears out; others have none."""
    web = citation.get("location", {}).get("web")
    if web is None:
        return None
    cited = {"url": web.get("url", ""), "title": citation.get("title", ""), "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": cited}


def image_part(image_format: str, source: dict[str, Any]) -> dict[str, Any]:
    """A picture that the model made, as OpenAI's own parts carry pictures; one in S3 keeps its address."""
    location = source.get("s3Location", {}).get("uri", "")
    url = f"data:image/{image_format};base64,{source['bytes']}" if "bytes" in source else location
    return {"type": "image_url", "image_url": {"url": url}}
