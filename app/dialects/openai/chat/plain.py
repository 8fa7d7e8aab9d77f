"""Translates plain chat requests: texts and the usual settings. Any other request passes the schema in `schema_in`.

A plain request has no field that the schema would convert or report, so both ways give the same call.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from app.converse.call import ModelCall
from app.converse.content import ContentBlock
from app.converse.request import ConverseRequest, InferenceConfiguration, Message, SystemContentBlock
from app.wire import json
from app.wire.json import JsonObject

_Length = Annotated[int, Meta(ge=1)]


class _PlainMessage(Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class _PlainStreamOptions(Struct, forbid_unknown_fields=True):
    include_usage: bool | None = False


class PlainRequest(Struct, forbid_unknown_fields=True):
    """The body of a plain request."""

    messages: Annotated[list[_PlainMessage], Meta(min_length=1)]
    model: str | None = None
    max_completion_tokens: _Length | None = None
    max_tokens: _Length | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: _PlainStreamOptions | None = None

    @property
    def include_usage(self) -> bool:
        """True if a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    def to_call(self) -> ModelCall:
        """Translate the request; see `request.to_call`."""
        system: list[SystemContentBlock] = []
        messages: list[Message] = []
        for message in self.messages:
            content: list[ContentBlock] = [{"text": message.content}] if message.content else []
            if message.role in ("user", "assistant"):
                messages.append({"role": message.role, "content": content})
            elif messages:
                messages.append({"role": "system", "content": content})
            elif message.content:
                system.append({"text": message.content})
        body: ConverseRequest = {"messages": messages}
        if system:
            body["system"] = system
        length = self.max_completion_tokens or self.max_tokens
        if inference := inference_of(length, self.temperature, self.top_p, self.stop):
            body["inferenceConfig"] = inference
        return ModelCall(self.model or "", body)


def inference_of(
    length: int | None, temperature: float | None, top_p: float | None, stop: str | list[str] | None
) -> InferenceConfiguration:
    """Return Converse's `inferenceConfig`, without what is not set."""
    config: InferenceConfiguration = {}
    if length is not None:
        config["maxTokens"] = length
    if temperature is not None:
        config["temperature"] = temperature
    if top_p is not None:
        config["topP"] = top_p
    if stop:
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    return config


def read_plain(document: JsonObject) -> PlainRequest | None:
    """Return a request as a plain one; None if it is not plain, or not valid."""
    return json.as_type(document, PlainRequest)
