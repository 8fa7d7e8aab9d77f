"""Changes a body of OpenAI's APIs where the surface that serves it for a model refuses something.

AWS user guide, inference with the Responses API (2026-11): the runtime runs no tools on its servers, mantle does.
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedBody
from app.converse.call import NativeCall, Surface
from app.models.capabilities import Capabilities, NativeSurface
from app.wire.documents import text_in

_RUN_BY_CALLER = frozenset({"function", "custom"})
_ENCRYPTED = "reasoning.encrypted_content"


def adapt_responses(call: NativeCall, surface: NativeSurface, capabilities: Capabilities) -> AdaptedBody:
    """Return the body that a surface accepts for a response. The call's document is not changed."""
    adapted = AdaptedBody({name: value for name, value in call.document.items() if value is not None}, capabilities)
    tools = adapted.body.get("tools")
    if surface is Surface.OPENAI and isinstance(tools, list):
        _leave_out_hosted(adapted, tools, call.tool_paths)
    if call.keep_reasoning and capabilities.reasoning.encrypted:
        wanted = adapted.body.get("include")
        given: list[Any] = wanted if isinstance(wanted, list) else []
        adapted.body["include"] = given if _ENCRYPTED in given else [*given, _ENCRYPTED]
    return adapted


def _leave_out_hosted(adapted: AdaptedBody, tools: list[Any], paths: list[str]) -> None:
    """Leave out, and name, the tools that only a server runs, and a tool choice that means one of them."""
    kept: list[Any] = []
    for index, tool in enumerate(tools):
        if _is_run_by_caller(tool):
            kept.append(tool)
        else:
            adapted.ignored.append(paths[index] if index < len(paths) else f"tools[{index}]")
    adapted.body["tools"] = kept
    is_left = _adapt_choice(adapted)
    if not kept:
        del adapted.body["tools"]
    if "tool_choice" in adapted.body and (not kept or not is_left):
        if adapted.body["tool_choice"] not in ("auto", "none"):
            adapted.ignored.append("tool_choice")
        del adapted.body["tool_choice"]


def _adapt_choice(adapted: AdaptedBody) -> bool:
    """Leave a server's tools out of `tool_choice`; returns whether it still means a tool."""
    choice = adapted.body.get("tool_choice")
    if not isinstance(choice, dict):
        return True
    allowed = choice.get("tools")
    if not isinstance(allowed, list):
        return _is_run_by_caller(choice)
    kept = [tool for tool in allowed if _is_run_by_caller(tool)]
    adapted.body["tool_choice"] = {**choice, "tools": kept}
    return bool(kept)


def _is_run_by_caller(tool: object) -> bool:
    return text_in(tool, "type") in _RUN_BY_CALLER


def adapt_chat(call: NativeCall, _: NativeSurface, capabilities: Capabilities) -> AdaptedBody:
    """Return the body that a surface accepts for a chat completion. The call's document is not changed.

    A stream reports its tokens. Nothing is stored at Bedrock, where the store is the account's.
    """
    body = {name: value for name, value in call.document.items() if value is not None and name != "store"}
    if body.get("stream"):
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return AdaptedBody(body, capabilities, ignored=["store"] if call.document.get("store") else [])
