"""Fit a body of OpenAI's to a surface that serves it for one model, changing nothing but what that surface refuses.

AWS user guide, inference with the Responses API (2026-11): the runtime runs no tools of its own servers; mantle does.
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedBody
from app.converse.call import NativeCall
from app.models.capabilities import Capabilities, Surface
from app.wire.documents import text_in

_OF_CALLERS = frozenset({"function", "custom"})
_SEALED = "reasoning.encrypted_content"


def adapt_responses(call: NativeCall, surface: Surface, capabilities: Capabilities) -> AdaptedBody:
    """The body that the surface takes for a response. The call's document is left alone."""
    adapted = AdaptedBody({name: value for name, value in call.document.items() if value is not None}, capabilities)
    tools = adapted.body.get("tools")
    if surface == "openai" and isinstance(tools, list):
        _leave_out_hosted(adapted, tools, call.tool_paths)
    if call.keep_reasoning and capabilities.reasoning.encrypted:
        wanted = adapted.body.get("include")
        given: list[Any] = wanted if isinstance(wanted, list) else []
        adapted.body["include"] = given if _SEALED in given else [*given, _SEALED]
    return adapted


def _leave_out_hosted(adapted: AdaptedBody, tools: list[Any], paths: list[str]) -> None:
    """Name and leave out the tools that only servers run, and what of a choice means them."""
    kept = [tool for tool in tools if _is_of_callers(tool)]
    adapted.ignored += [
        paths[index] if index < len(paths) else f"tools[{index}]"
        for index, tool in enumerate(tools)
        if not _is_of_callers(tool)
    ]
    adapted.body["tools"] = kept
    choice = adapted.body.get("tool_choice")
    if isinstance(choice, dict):
        allowed = choice.get("tools")
        if isinstance(allowed, list):
            choice = {**choice, "tools": [tool for tool in allowed if _is_of_callers(tool)]}
            adapted.body["tool_choice"] = choice
        is_left = bool(choice.get("tools")) if isinstance(allowed, list) else _is_of_callers(choice)
    else:
        is_left = True
    if not kept:
        del adapted.body["tools"]
    if "tool_choice" in adapted.body and (not kept or not is_left):
        if adapted.body["tool_choice"] not in ("auto", "none"):
            adapted.ignored.append("tool_choice")
        del adapted.body["tool_choice"]


def _is_of_callers(tool: Any) -> bool:
    return text_in(tool, "type") in _OF_CALLERS


def adapt_chat(call: NativeCall, _: Surface, capabilities: Capabilities) -> AdaptedBody:
    """The body that the surface takes for a chat completion, asked to tell its tokens. The document is left alone.

    Nothing is kept at Bedrock, whose store is the account's.
    """
    body = {name: value for name, value in call.document.items() if value is not None and name != "store"}
    if body.get("stream"):
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return AdaptedBody(body, capabilities, ignored=["store"] if call.document.get("store") else [])
