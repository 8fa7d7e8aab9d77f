"""The situations for which every dialect has golden cases, by the names of their directories."""

from pathlib import Path

HERE = Path(__file__).parent
DIALECTS = ("openai/chat", "openai/responses", "anthropic")
# a situation's case has its name, but for these
SITUATIONS = (
    "text",
    "system",
    "multi_turn",
    "image",
    "document",
    "tool_call",
    "tool_call_without_text",
    "tools_parallel",
    "tool_results",
    "tool_result_with_image",
    "tool_error",
    "thinking",
    "thinking_redacted",
    "json_schema",
    "cache_points",
    "stop_length",
    "stop_sequence",
    "stop_context",
    "content_filtered",
    "cached",
    "guardrail",
)


def golden(dialect: str, situation: str) -> Path:
    """The directory of a case."""
    return HERE / dialect / "golden" / situation
