"""What the translators of responses need of the request, and what complete and streaming responses share."""

from msgspec import Struct

from app.converse.usage import Usage, written_in
from app.wire.json import JsonObject

STOP_REASONS = {
    "end_turn": "end_turn",
    "stop_sequence": "stop_sequence",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "model_context_window_exceeded",
    "tool_use": "tool_use",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
    "refusal": "refusal",
    "pause_turn": "pause_turn",
}


class MessageResponseContext(Struct, frozen=True):
    """id: of a message that is translated; others have one. model: as the caller named it. request_id: for errors."""

    id: str
    model: str
    request_id: str = ""


def stop_reason(reason: str, *, has_calls: bool) -> str:
    """Return Anthropic's stop_reason.

    A stop for tools that only the provider ran ends the turn. Some models report `end_turn` though they called tools
    (see `finish_reason` of chat).

    Source: docs/reference/contracts/mapping.md#stop-reasons
    """
    if reason in ("tool_use", "end_turn"):
        return "tool_use" if has_calls else "end_turn"
    return STOP_REASONS.get(reason, "end_turn")


def usage_body(raw: JsonObject | None, tier: str | None = None) -> JsonObject:
    """Return Anthropic's usage. `input_tokens` excludes cached tokens, as in Converse.

    Source: docs/reference/contracts/mapping.md#usage
    """
    usage = Usage.of(raw)
    body: JsonObject = {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
    }
    if written := written_in(raw or {}):
        body["cache_creation"] = {
            "ephemeral_5m_input_tokens": written.get("5m", 0),
            "ephemeral_1h_input_tokens": written.get("1h", 0),
        }
    if tier is not None:
        body["service_tier"] = "standard" if tier == "default" else tier
    return body
