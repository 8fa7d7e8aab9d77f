"""Adapts a call for a model, and translates it to the API that serves the model where Converse does not."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.carried_contents import ignored_members, refuse_uncarried
from app.adaptation.passes import adapt
from app.adaptation.response_mapping import ResponseMapping
from app.adaptation.to_anthropic.messages_reply import MessageEvents, MessageUsage, from_message
from app.adaptation.to_anthropic.messages_request import message_request
from app.adaptation.to_openai.chat_reply import ChunkEvents, from_completion
from app.adaptation.to_openai.chat_request import chat_request
from app.adaptation.to_openai.responses_reply import ResponseEvents, from_response
from app.adaptation.to_openai.responses_request import response_request
from app.converse.call import ModelCall
from app.converse.events import Event
from app.converse.openai_documents import usage_of_completion, usage_of_response
from app.converse.reply import Reply
from app.converse.usage import Usage
from app.models.capabilities import Capabilities
from app.models.openai_surfaces import responses_surface
from app.wire.json import JsonObject

API = Literal["anthropic", "openai_responses", "openai_chat"]


class Events(Protocol):
    """Translates the documents of one stream."""

    def feed(self, document: JsonObject) -> list[Event]:
        """Return the events for a document."""
        ...


class _Request(Protocol):
    def __call__(self, adapted: AdaptedRequest, *, forbid_tools: bool, is_streamed: bool) -> JsonObject: ...


class Translation(Struct, frozen=True):
    """How calls are translated to one API, and its answers back.

    open_usage: makes the reader of tokens for one answer. last_events: types of the documents that complete a streamed
    answer; Chat Completions has none, and ends with `[DONE]`. is_openai: it is one of OpenAI's, which have a member for
    one tool call at a time.
    """

    request: _Request
    from_document: Callable[[JsonObject], Reply]
    open_events: Callable[[], Events]
    open_usage: Callable[[], Callable[[JsonObject], Usage | None]]
    last_events: frozenset[str]
    is_openai: bool = True


TRANSLATIONS: Mapping[API, Translation] = {
    "anthropic": Translation(
        message_request, from_message, MessageEvents, MessageUsage, frozenset({"message_stop"}), is_openai=False
    ),
    "openai_responses": Translation(
        response_request,
        from_response,
        ResponseEvents,
        lambda: usage_of_response,
        frozenset({"response.completed", "response.incomplete", "response.failed"}),
    ),
    "openai_chat": Translation(chat_request, from_completion, ChunkEvents, lambda: usage_of_completion, frozenset()),
}


class AdaptedDocument(Struct, frozen=True):
    """A body, without the model, and what to restore in its answer. ignored, adjusted: as in `AdaptedRequest`."""

    body: JsonObject
    mapping: ResponseMapping
    ignored: list[str]
    adjusted: list[str]


def adapt_document(call: ModelCall, api: API, capabilities: Capabilities, *, is_streamed: bool) -> AdaptedDocument:
    """Return the body that an API accepts for a call.

    Raises:
        InvalidRequest: the API cannot carry what the call contains, with the path of the field.
    """
    refuse_uncarried(call.converse, call.names)
    # these APIs have members for it, so nothing has to be done in its stead
    translation = TRANSLATIONS[api]
    single_tool_call = call.intent.single_tool_call and not translation.is_openai
    intent = replace(call.intent, forbid_tools=False, single_tool_call=single_tool_call)
    adapted = adapt(replace(call, intent=intent), capabilities)
    adapted.intent = replace(adapted.intent, single_tool_call=call.intent.single_tool_call)
    if "toolConfig" not in call.converse and not adapted.mapping.answer_tool:
        _drop_stubs(adapted)
    tiers = responses_surface(capabilities.native.surface(api)).service_tiers
    if translation.is_openai and tiers and adapted.body.get("serviceTier", {"type": "default"})["type"] not in tiers:
        del adapted.body["serviceTier"]
        adapted.ignore("service_tier")
    adapted.ignored += ignored_members(call.converse)
    body = translation.request(adapted, forbid_tools=call.intent.forbid_tools, is_streamed=is_streamed)
    return AdaptedDocument(body, adapted.mapping, adapted.ignored, adapted.adjusted)


def _drop_stubs(adapted: AdaptedRequest) -> None:
    """Remove tools that were declared only because the history calls them, which these APIs do not require."""
    if adapted.body.pop("toolConfig", None) is not None:
        adapted.adjusted = [what for what in adapted.adjusted if what != "tools"]
