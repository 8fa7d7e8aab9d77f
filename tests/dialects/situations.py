"""The golden cases of the dialects: a directory each, with its purpose."""

from pathlib import Path

HERE = Path(__file__).parent
DIALECTS = ("openai/chat", "openai/responses", "anthropic")
# every dialect has a case for each of these
SITUATIONS = {
    "text": "A question and an answer in text.",
    "system": "A system prompt, or a developer's.",
    "multi_turn": "Several turns; consecutive messages keep their order.",
    "image": "An image in the request, as base64.",
    "document": "A document in the request, as base64.",
    "tool_call": "The model says something and calls a tool.",
    "tool_call_without_text": "The model calls a tool and says nothing.",
    "tools_parallel": "The model calls two tools in one turn.",
    "tool_results": "Results of earlier calls are sent back.",
    "tool_result_with_image": "A result of a call holds an image.",
    "tool_error": "A result of a call reports an error.",
    "thinking": "Reasoning is requested, returned with its signature, and sent back.",
    "thinking_redacted": "Reasoning that only the model can read is returned and sent back.",
    "json_schema": "The response must match a JSON schema.",
    "cache_points": "The request marks where a cached prefix ends.",
    "stop_length": "The model stops at the limit of output tokens.",
    "stop_sequence": "The model stops at a stop sequence.",
    "stop_context": "The model stops because its context is full.",
    "content_filtered": "Bedrock's filter stops the model; there is no content.",
    "cached": "The usage has tokens that were read from a cache and written to it.",
    "guardrail": "A guardrail replaces the response.",
}
# cases of one dialect
MORE: dict[str, dict[str, str]] = {
    "openai/chat": {
        "audio": "Audio in the request, as base64.",
        "citations": "Citations become annotations, and members beside OpenAI's.",
        "custom_tool": "A custom tool takes free text, and returns it unwrapped.",
        "json_object": "The response must be any JSON object.",
        "server_tool": "Calls that the provider ran itself are left out.",
        "thinking_unsigned": "Reasoning without a signature is sent back.",
        "unknown_fields": "Unknown fields are reported as ignored, at any depth.",
    },
    "openai/responses": {
        "citations": "Citations of the web become annotations.",
        "custom_tool": "A custom tool takes free text, and returns it unwrapped.",
        "json_object": "The response must be any JSON object.",
        "namespace": "Tools in a namespace are flattened for the model, and restored.",
        "server_tool": "Calls that the provider ran itself are left out.",
        "thinking_not_signed_here": "Reasoning that another gateway signed is left out and reported.",
        "unknown_fields": "Unknown fields are reported as ignored, and metadata that Bedrock does not accept.",
    },
    "anthropic": {
        "citations_sent_back": "Citations of an earlier response are sent back.",
        "search_result": "A search result in the request.",
        "server_tool": "Calls that the provider ran itself are left out.",
        "thinking_disabled": "Reasoning is switched off, whatever the effort.",
        "tool_choice_none": "Tools are declared and must not be called.",
        "unknown_fields": "Unknown fields are reported as ignored, at any depth.",
    },
}


def golden(dialect: str, situation: str) -> Path:
    """The directory of a case."""
    return HERE / dialect / "golden" / situation


def cases_of(dialect: str) -> list[str]:
    """The names of a dialect's cases."""
    return sorted({*SITUATIONS, *MORE[dialect]})
