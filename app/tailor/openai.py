"""Fit a body of OpenAI's to a surface that serves it for one model, changing nothing but what that surface refuses.

AWS user guide, inference with the Responses API (2026-11): the runtime runs no tools of its own servers; mantle does.
"""

from typing import Any

from app.converse.call import NativeCall
from app.models.traits import Surface, Traits
from app.tailor.draft import NativeDraft

_OF_CALLERS = frozenset({"function", "custom"})
_SEALED = "reasoning.encrypted_content"


def tailor_responses(call: NativeCall, surface: Surface, traits: Traits) -> NativeDraft:
    """The body that the surface takes for a response. The call's document is left alone."""
    draft = NativeDraft({name: value for name, value in call.document.items() if value is not None}, traits)
    tools = draft.body.get("tools")
    if surface == "openai" and isinstance(tools, list):
        kept = []
        for place, tool in enumerate(tools):
            if isinstance(tool, dict) and tool.get("type") in _OF_CALLERS:
                kept.append(tool)
            else:
                draft.ignored.append(f"tools[{place}]")
        draft.body["tools"] = kept
        if not kept:
            del draft.body["tools"]
            draft.body.pop("tool_choice", None)
    if call.keep_thoughts and traits.encrypted_thoughts:
        wanted = draft.body.get("include")
        given: list[Any] = wanted if isinstance(wanted, list) else []
        draft.body["include"] = given if _SEALED in given else [*given, _SEALED]
    return draft


def tailor_chat(call: NativeCall, _: Surface, traits: Traits) -> NativeDraft:
    """The body that the surface takes for a chat completion, asked to tell its tokens. The document is left alone."""
    body = {name: value for name, value in call.document.items() if value is not None}
    if body.get("stream"):
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return NativeDraft(body, traits)
