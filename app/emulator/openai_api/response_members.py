"""The members of a response, as the recordings of mantle have them."""

from app.emulator.openai_api.shapes import CREATED
from app.wire.json import JsonObject

_OF_FORMAT = {"description": None, "strict": False}


def new_response(response_id: str, body: JsonObject, *, is_full: bool) -> JsonObject:
    """Return a response that has begun.

    Args:
        body: the request. is_full: with the members that gpt-oss leaves out.
    """
    response: JsonObject = {
        "background": False,
        "created_at": CREATED if is_full else float(CREATED),
        "error": None,
        "id": response_id,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": body.get("model"),
        "object": "response",
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "service_tier": "default",
        "status": "in_progress",
        "temperature": body.get("temperature", 1.0),
        "text": _text(body.get("text") or {}),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "top_p": body.get("top_p", 0.98),
        "truncation": body.get("truncation", "disabled"),
        "usage": None,
    }
    return {**response, **_further(body)} if is_full else response


def _further(body: JsonObject) -> JsonObject:
    return {
        "billing": {"payer": "developer"},
        "completed_at": None,
        "frequency_penalty": 0.0,
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "moderation": None,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "prompt_cache_retention": body.get("prompt_cache_retention", "in_memory"),
        "reasoning": {"effort": "medium", "summary": None, **(body.get("reasoning") or {})},
        "safety_identifier": body.get("safety_identifier"),
        "store": False,
        "top_logprobs": body.get("top_logprobs", 0),
        "user": body.get("user"),
    }


def _text(sent: JsonObject) -> JsonObject:
    wanted = sent.get("format") or {"type": "text"}
    if wanted["type"] == "json_schema":
        wanted = {**_OF_FORMAT, **wanted}
    return {"verbosity": "medium", **sent, "format": wanted}


def _tool(tool: JsonObject) -> JsonObject:
    return {"description": None, "strict": False, **tool} if tool.get("type") == "function" else tool
