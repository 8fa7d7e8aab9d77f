"""Adapts a call for a model, and translates it to the API of OpenAI's that serves the model."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.passes import adapt
from app.adaptation.response_mapping import ResponseMapping
from app.adaptation.to_openai.chat_reply import ChunkEvents, from_completion
from app.adaptation.to_openai.chat_request import chat_request
from app.adaptation.to_openai.contents import ignored_members, refuse_uncarried
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

API = Literal["openai_responses", "openai_chat"]


class Events(Protocol):
    """Translates the documents of one stream."""

    def feed(self, document: JsonObject) -> list[Event]:
        """Return the events for a document."""
        ...


class _Request(Protocol):
    def __call__(self, adapted: AdaptedRequest, *, forbid_tools: bool, is_streamed: bool) -> JsonObject: ...


class Translation(Struct, frozen=True):
    """How calls are translated to one API, and its answers back."""

    request: _Request
    from_document: Callable[[JsonObject], Reply]
    open_events: Callable[[], Events]
    usage_of: Callable[[JsonObject], Usage | None]


TRANSLATIONS: Mapping[API, Translation] = {
    "openai_responses": Translation(response_request, from_response, ResponseEvents, usage_of_response),
    "openai_chat": Translation(chat_request, from_completion, ChunkEvents, usage_of_completion),
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
    refuse_uncarried(call.converse)
    # these APIs have members for it, so nothing has to be done in its stead
    intent = replace(call.intent, forbid_tools=False, single_tool_call=False)
    adapted = adapt(replace(call, intent=intent), capabilities)
    adapted.intent = replace(adapted.intent, single_tool_call=call.intent.single_tool_call)
    if "toolConfig" not in call.converse and not adapted.mapping.answer_tool:
        _drop_stubs(adapted)
    tiers = responses_surface(capabilities.native.surface(api)).service_tiers
    if tiers and adapted.body.get("serviceTier", {"type": "default"})["type"] not in tiers:
        del adapted.body["serviceTier"]
        adapted.ignore("service_tier")
    adapted.ignored += ignored_members(adapted.body)
    request = TRANSLATIONS[api].request
    body = request(adapted, forbid_tools=call.intent.forbid_tools, is_streamed=is_streamed)
    return AdaptedDocument(body, adapted.mapping, adapted.ignored, adapted.adjusted)


def _drop_stubs(adapted: AdaptedRequest) -> None:
    """Remove tools that were declared only because the history calls them, which these APIs do not require."""
    if adapted.body.pop("toolConfig", None) is not None:
        adapted.adjusted = [what for what in adapted.adjusted if what != "tools"]
