"""Changes a body of OpenAI's APIs where the surface that serves it for a model refuses something.

Source: `models/openai_surfaces`
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedBody
from app.adaptation.efforts import nearest_effort
from app.converse.call import NativeCall
from app.errors import InvalidRequest
from app.models.capabilities import Capabilities, NativeSurface
from app.models.openai_surfaces import ResponsesSurface, responses_surface
from app.models.output_lengths import lengths_in
from app.wire.documents import listed, text_in

_ENCRYPTED = "reasoning.encrypted_content"


def adapt_responses(call: NativeCall, surface: NativeSurface, capabilities: Capabilities) -> AdaptedBody:
    """Return the body that a surface accepts for a response. The call's document is not changed."""
    adapted = AdaptedBody({name: value for name, value in call.document.items() if value is not None}, capabilities)
    accepts = responses_surface(surface)
    if not accepts.urls:
        _refuse_urls(adapted.body.get("input"))
    tools = adapted.body.get("tools")
    if isinstance(tools, list):
        _leave_out_tools(adapted, tools, call.tool_paths, accepts)
    _adapt_values(adapted, accepts)
    _adapt_effort(adapted)
    _adapt_sampling(adapted)
    _adapt_length(adapted, "max_output_tokens", least=capabilities.output.min_length)
    if call.keep_reasoning and capabilities.reasoning.encrypted:
        wanted = adapted.body.get("include")
        given: list[Any] = wanted if isinstance(wanted, list) else []
        adapted.body["include"] = given if _ENCRYPTED in given else [*given, _ENCRYPTED]
    return adapted


def _refuse_urls(items: object) -> None:
    """Raise InvalidRequest for an image or a file by URL, which nothing has fetched."""
    for index, item in enumerate(listed(items)):
        for name in ("content", "output"):
            for number, part in enumerate(listed(item.get(name)) if isinstance(item, dict) else ()):
                for member in ("image_url", "file_url"):
                    if text_in(part, member).lower().startswith(("http://", "https://")):
                        reason = "must be a data: URL: others are fetched only if FETCH_MEDIA is set"
                        raise InvalidRequest(reason, param=f"input[{index}].{name}[{number}].{member}")


def _leave_out_tools(adapted: AdaptedBody, tools: list[Any], paths: list[str], accepts: ResponsesSurface) -> None:
    """Leave out, and name, the tools that the surface refuses, and a tool choice that means one of them."""
    kept: list[Any] = []
    has_search = any(text_in(tool, "type") == "tool_search" for tool in tools) and "tool_search" in accepts.tools
    for index, tool in enumerate(tools):
        path = paths[index] if index < len(paths) else f"tools[{index}]"
        if text_in(tool, "type") not in accepts.tools:
            adapted.ignored.append(path)
        elif tool.get("defer_loading") and not has_search:
            # without a search nothing would load it
            adapted.ignored.append(f"{path}.defer_loading")
            kept.append({name: value for name, value in tool.items() if name != "defer_loading"})
        else:
            kept.append(tool)
    adapted.body["tools"] = kept
    is_left = _adapt_choice(adapted, accepts)
    if not kept:
        del adapted.body["tools"]
    if "tool_choice" in adapted.body and (not kept or not is_left):
        if adapted.body["tool_choice"] not in ("auto", "none"):
            adapted.ignored.append("tool_choice")
        del adapted.body["tool_choice"]


def _adapt_choice(adapted: AdaptedBody, accepts: ResponsesSurface) -> bool:
    """Leave refused tools out of `tool_choice`; returns whether it still means a tool."""
    choice = adapted.body.get("tool_choice")
    if not isinstance(choice, dict):
        return True
    allowed = choice.get("tools")
    if not isinstance(allowed, list):
        return text_in(choice, "type") in accepts.tools
    kept = [tool for tool in allowed if text_in(tool, "type") in accepts.tools]
    adapted.body["tool_choice"] = {**choice, "tools": kept}
    return bool(kept)


def _adapt_values(adapted: AdaptedBody, accepts: ResponsesSurface) -> None:
    """Leave out a service tier that the surface refuses, and ask for the kind of summary that it has."""
    if accepts.service_tiers and adapted.body.get("service_tier", "auto") not in accepts.service_tiers:
        del adapted.body["service_tier"]
        adapted.ignored.append("service_tier")
    reasoning = adapted.body.get("reasoning")
    summary = text_in(reasoning, "summary")
    if isinstance(reasoning, dict) and summary and summary not in (accepts.reasoning_summaries or {summary}):
        adapted.body["reasoning"] = {**reasoning, "summary": "auto"}
        adapted.adjust("reasoning_summary")


def _adapt_effort(adapted: AdaptedBody) -> None:
    """Send the nearest effort that the model accepts."""
    reasoning, accepted = adapted.body.get("reasoning"), adapted.capabilities.reasoning.efforts
    effort = text_in(reasoning, "effort")
    if isinstance(reasoning, dict) and effort and accepted and (known := nearest_effort(effort, accepted)) != effort:
        adapted.body["reasoning"] = {**reasoning, "effort": known}
        adapted.adjust("reasoning_effort")


def _adapt_length(adapted: AdaptedBody, *names: str, least: int = 1) -> None:
    """Bring the length within the limits, or request the default one, if there is one and the caller names none.

    A length by a name of another API is left out: a server that reads it would exceed the limits.

    Raises:
        InvalidRequest: a length is none.
    """
    default, largest = adapted.capabilities.output.default_length, adapted.capabilities.max_output
    for path, given in lengths_in(adapted.body).items():
        name = path.partition(".")[0]
        if name not in names:
            adapted.body.pop(name, None)
            adapted.ignored.append(path)
            continue
        length = int(given) if isinstance(given, float) and given.is_integer() else given
        if type(length) is not int or length < 1:
            raise InvalidRequest("must be an integer of at least 1", param=path)
        adapted.body[name] = max(min(length, largest), least)
        if adapted.body[name] != given:
            adapted.adjust("max_tokens")
    if default and not any(name in adapted.body for name in names):
        adapted.body[names[0]] = min(default, largest)


def _adapt_sampling(adapted: AdaptedBody) -> None:
    """Leave out the parameters of sampling that the model has refused."""
    for name in () if adapted.capabilities.native.sampling else ("temperature", "top_p"):
        if adapted.body.pop(name, None) is not None:
            adapted.adjust(name)


def adapt_chat(call: NativeCall, _: NativeSurface, capabilities: Capabilities) -> AdaptedBody:
    """Return the body that a surface accepts for a chat completion. The call's document is not changed.

    A stream reports its tokens. Nothing is stored at Bedrock, where the store is the account's.
    """
    body = {name: value for name, value in call.document.items() if value is not None and name != "store"}
    if body.get("stream"):
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    adapted = AdaptedBody(body, capabilities, ignored=["store"] if call.document.get("store") else [])
    effort, accepted = text_in(body, "reasoning_effort"), capabilities.reasoning.efforts
    if effort and accepted and (known := nearest_effort(effort, accepted)) != effort:
        body["reasoning_effort"] = known
        adapted.adjust("reasoning_effort")
    _adapt_sampling(adapted)
    _adapt_length(adapted, "max_completion_tokens", "max_tokens")
    return adapted
