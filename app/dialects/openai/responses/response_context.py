"""What the translators of responses need of the request, and what complete and streaming responses share."""

import time
from collections.abc import Mapping

from msgspec import Struct, field

from app.converse.content import ReasoningContentBlock
from app.converse.request import ServiceTier
from app.converse.usage import Usage
from app.dialects.http import identifiers as ids
from app.dialects.openai.common.tools import custom_input
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.request_members import request_members
from app.dialects.openai.responses.schema_in import ResponseRequest
from app.wire.json import JsonObject

# the reason of an incomplete response, by Converse's stop reason
INCOMPLETE = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "content_filter",
}
IMAGE = "image_generation_call"


class ResponseContext(Struct, frozen=True):
    """What the translators of a response need of the request.

    created_at: seconds since the epoch. model: as the caller named it. document: the request; the response repeats some
    of its members. signer: signs reasoning; None if the caller did not request it. namespaces: of tools, by
    the model's names.
    """

    id: str
    created_at: int
    model: str
    request: ResponseRequest
    document: Mapping[str, object] = field(default_factory=dict)
    signer: ReasoningSigner | None = None
    custom_tools: frozenset[str] = frozenset()
    namespaces: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def response(self, status: str, **members: object) -> JsonObject:
        """Return the response object."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "model": self.model,
            "store": self.request.store is not False,
            **request_members(self.document),
            **members,
        }

    def ended(
        self, stop_reason: str, output: list[JsonObject], usage: Usage, tier: ServiceTier | None = None
    ) -> JsonObject:
        """Return the final response object. tier: the service tier that was used, if known."""
        members: JsonObject = {"output": output, "usage": usage_body(usage)}
        if tier is not None:
            members["service_tier"] = tier["type"]
        if reason := INCOMPLETE.get(stop_reason):
            return self.response("incomplete", **members, incomplete_details={"reason": reason})
        return self.response("completed", **members, completed_at=int(time.time()))

    def reasoning_item(self, item_id: str, reasoning: ReasoningContentBlock) -> JsonObject:
        """Return an item of reasoning. Its text is the summary; `encrypted_content` holds all of it, if requested."""
        text = reasoning.get("reasoningText", {}).get("text", "")
        summary = [{"type": "summary_text", "text": text}] if text else []
        item = {"id": item_id, "type": "reasoning", "summary": summary}
        return item if self.signer is None else {**item, "encrypted_content": self.signer.close(reasoning)}

    def call_item(self, item_id: str, call_id: str, name: str, arguments: str, status: str) -> JsonObject:
        """Return a call, with the caller's name for the tool."""
        namespace, own = self.namespaces.get(name, (None, name))
        head = {"id": item_id, "call_id": call_id, "name": own, "status": status}
        if namespace is not None:
            head["namespace"] = namespace
        if name in self.custom_tools:
            return {**head, "type": "custom_tool_call", "input": custom_input(arguments) if arguments else ""}
        return {**head, "type": "function_call", "arguments": arguments}


def message_item(item_id: str, text: str, annotations: list[JsonObject], status: str) -> JsonObject:
    """Return a message of one text."""
    content = [text_part(text, annotations)]
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def image_item(item_id: str, image: str | None, status: str) -> JsonObject:
    """Return an image of the model in base64; None while it is generated."""
    return {"id": item_id, "type": IMAGE, "status": status, "result": image}


def text_part(text: str, annotations: list[JsonObject]) -> JsonObject:
    """Return the part that holds the text of a message."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def new_item_id(kind: str) -> str:
    """Return a new id for an item, with OpenAI's prefix for its type."""
    prefixes = {"message": "msg_", "reasoning": "rs_", "custom_tool_call": "ctc_", IMAGE: "ig_"}
    return ids.new_id(prefixes.get(kind, "fc_"))


def annotation(citation: JsonObject, start: int, end: int) -> JsonObject | None:
    """Return OpenAI's annotation for a citation of the web; None for others."""
    web = citation.get("location", {}).get("web")
    if web is None:
        return None
    title, url = citation.get("title", ""), web.get("url", "")
    return {"type": "url_citation", "url": url, "title": title, "start_index": start, "end_index": end}


def usage_body(usage: Usage) -> JsonObject:
    """Return OpenAI's usage. Input tokens include cached ones.

    Source: docs/reference/contracts/mapping.md#usage
    """
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.output,
    }
