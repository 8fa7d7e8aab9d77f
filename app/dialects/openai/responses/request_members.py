"""Members of a response that say how it was requested.

Open Responses requires all of them (specification of 2026-04-24).
"""

from collections.abc import Mapping

from app.wire.json import JsonObject

_OF_FUNCTIONS = ("description", "parameters", "strict")


def request_members(document: Mapping[str, object]) -> JsonObject:
    """Return what a response repeats of its request, and OpenAI's defaults for what the request does not say.

    A temperature and a `top_p` of 1 stand for the model's own default. Fields that have no effect in mode `translated`,
    such as `presence_penalty`, have their defaults, whatever the request says.

    Args:
        document: the request.
    """
    sent = {name: value for name, value in document.items() if value is not None}
    return {
        "background": False,
        "completed_at": None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": sent.get("instructions"),
        "max_output_tokens": sent.get("max_output_tokens"),
        "max_tool_calls": None,
        "metadata": sent.get("metadata", {}),
        "output": [],
        "parallel_tool_calls": sent.get("parallel_tool_calls") is not False,
        "presence_penalty": 0.0,
        "previous_response_id": sent.get("previous_response_id"),
        "prompt_cache_key": _text(sent.get("prompt_cache_key")),
        "reasoning": _completed(sent.get("reasoning"), {"effort": None, "summary": None}),
        "safety_identifier": _text(sent.get("safety_identifier")),
        "service_tier": "default",
        "temperature": sent.get("temperature", 1.0),
        "text": _completed(sent.get("text"), {"format": {"type": "text"}}),
        "tool_choice": sent.get("tool_choice", "auto"),
        "tools": _repeated_tools(sent.get("tools")),
        "top_logprobs": 0,
        "top_p": sent.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
    }


def _repeated_tools(tools: object) -> list[object]:
    """Return the tools of a request as its response repeats them: functions have all members, null if not sent."""
    return [_repeated(tool) for tool in tools] if isinstance(tools, list) else []


def _repeated(tool: object) -> object:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool
    return {**tool, **{name: None for name in _OF_FUNCTIONS if name not in tool}}


def _completed(sent: object, defaults: JsonObject) -> JsonObject:
    return {**defaults, **sent} if isinstance(sent, dict) else defaults


def _text(sent: object) -> str | None:
    return sent if isinstance(sent, str) else None
