"""Translates a request for a response to a ModelCall, without knowing models.

Sources:
- docs/reference/contracts/openai-responses.md
- docs/reference/contracts/mapping.md
"""

from collections.abc import Iterator, Sequence
from typing import Any

from app.converse.call import Intent, ModelCall
from app.converse.content import ContentBlock
from app.converse.request import ConverseRequest, Message
from app.converse.request_metadata import request_metadata
from app.dialects.http.documents import unknown_fields
from app.dialects.openai.common import media as openai_media
from app.dialects.openai.common.cache import cache_point, cache_points_last
from app.dialects.openai.common.service_tiers import TIERS, UNAVAILABLE_TIERS, unavailable_tier
from app.dialects.openai.common.tools import custom_use, function_use
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.schema_in import (
    CustomCallItem,
    FilePart,
    FunctionCallItem,
    ImagePart,
    Item,
    MessageItem,
    OutputItem,
    ReasoningItem,
    RefusalPart,
    ResponseHead,
    ResponseRequest,
)
from app.dialects.openai.responses.tools import flat_name, tool_config
from app.errors import InvalidRequest
from app.wire import json
from app.wire.json import JsonObject

KEPT = "previous_response_id"
SIGNED = "reasoning.encrypted_content"
_NAMES: dict[str, tuple[str, ...]] = {
    "messages": ("input",),
    "reasoning_effort": ("reasoning.effort",),
    "response_format.json_schema.schema": ("text.format.schema",),
}
_DEFAULTS = {"truncation": "disabled"}
# members of items and parts of earlier responses
# and the value of each that says nothing; the summary is what a client has read
_OF_ANSWERS = {"id": None, "status": "completed", "annotations": None, "logprobs": None}


def to_call(
    request: ResponseRequest, signer: ReasoningSigner, sent: Sequence[Item], earlier: Sequence[Item] = ()
) -> ModelCall:
    """Translate a request to a call.

    Args:
        signer: reads the reasoning of the conversation.
        sent: the items of the request. earlier: stored items of the conversation.

    Raises:
        InvalidRequest: a value that is not supported and must not be ignored, with the path of its field.
    """
    refuse(request)
    body: ConverseRequest = {"messages": []}
    ignored = list(_ignored(request))
    _add_conversation(request, sent, earlier, signer, body, ignored)
    inference: JsonObject = {
        "maxTokens": request.max_output_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
    }
    if given := {name: value for name, value in inference.items() if value is not None}:
        body["inferenceConfig"] = given  # type: ignore[typeddict-item]
    if config := tool_config(request, ignored):
        body["toolConfig"] = config
    if request.service_tier in UNAVAILABLE_TIERS:
        raise unavailable_tier()
    if request.service_tier in TIERS:
        body["serviceTier"] = {"type": request.service_tier}  # type: ignore[typeddict-item]
    _add_format(request, body)
    _add_labels(request, body, ignored)
    return ModelCall(request.model, body, _intent(request), ignored, _NAMES)


def _add_conversation(
    request: ResponseRequest,
    sent: Sequence[Item],
    earlier: Sequence[Item],
    signer: ReasoningSigner,
    body: ConverseRequest,
    ignored: list[str],
) -> None:
    system: list[Any] = [{"text": request.instructions}] if request.instructions else []
    items = [(item, KEPT) for item in earlier]
    items += [(item, f"input[{index}]") for index, item in enumerate(sent)]
    answered = {item.call_id for item, _ in items if isinstance(item, OutputItem)}
    for item, path in items:
        if isinstance(item, FunctionCallItem | CustomCallItem) and _is_cut_off(item, answered):
            ignored.append(path)
        else:
            _add(item, path, body, system, signer, ignored)
    if not body["messages"] and not system:
        raise InvalidRequest("must hold a message", param="input")
    if system:
        body["system"] = system


def _intent(request: ResponseRequest) -> Intent:
    wanted = request.text.format if request.text is not None else None
    return Intent(
        effort=request.reasoning.effort if request.reasoning is not None else None,
        forbid_tools=request.tool_choice == "none",
        single_tool_call=request.parallel_tool_calls is False,
        json_object=wanted is not None and wanted.type == "json_object",
    )


def _add_labels(request: ResponseRequest, body: ConverseRequest, ignored: list[str]) -> None:
    people = {"user": request.user, "safety_identifier": request.safety_identifier}
    labels, unfit = request_metadata(people, request.metadata)
    if labels:
        body["requestMetadata"] = labels
    ignored += [f"metadata.{name}" for name in unfit]


def _is_cut_off(item: FunctionCallItem | CustomCallItem, answered: set[str]) -> bool:
    """Tell whether the model did not finish a call, and nobody answered it: no model accepts such a call."""
    return item.status == "incomplete" and item.call_id not in answered


def refuse(request: ResponseRequest | ResponseHead) -> None:
    """Raise InvalidRequest for what needs OpenAI's own servers, and for what OpenAI refuses here too."""
    for name, reason in (
        ("background", "works for requests of HTTP that are stored and not streamed: leave it out"),
        ("conversation", "conversations are not kept: send their items, or previous_response_id"),
        ("prompt", "stored prompts are not here: send instructions and input"),
        ("response_format", "is a field of Chat Completions: send text.format"),
    ):
        if request.__dict__[name]:
            raise InvalidRequest(reason, param=name)


def _ignored(request: ResponseRequest) -> Iterator[str]:
    of_answers: dict[str, None] = {}
    for path, value in unknown_fields(request):
        name = path.rpartition(".")[2]
        if value in ([], {}, None, _DEFAULTS.get(path)) or (path.startswith("input[") and name == "summary"):
            continue
        if not path.startswith("input[") or name not in _OF_ANSWERS:
            yield path
        elif value != _OF_ANSWERS[name]:
            # each item of an earlier response has them: they are named once
            of_answers[f"input[].{name}"] = None
    yield from of_answers
    text_format = request.text.format if request.text is not None else None
    if text_format is not None and text_format.type == "json_schema" and text_format.strict is False:
        # a schema is always enforced
        yield "text.format.strict"
    if any(wanted != SIGNED for wanted in request.include or ()):
        yield "include"


def _add(
    item: Item, path: str, body: ConverseRequest, system: list[Any], signer: ReasoningSigner, ignored: list[str]
) -> None:
    messages = body["messages"]
    match item:
        case MessageItem(role="system" | "developer"):
            _add_system(item, path, messages, system)
        case MessageItem():
            messages.append({"role": item.role, "content": _blocks(item.content, path)})  # type: ignore[typeddict-item]
        case FunctionCallItem():
            name = flat_name(item.namespace, item.name, f"{path}.namespace")
            use = function_use(item.call_id, name, item.arguments, f"{path}.arguments", ignored)
            messages.append({"role": "assistant", "content": [{"toolUse": use}]})
        case CustomCallItem():
            name = flat_name(item.namespace, item.name, f"{path}.namespace")
            use = custom_use(item.call_id, name, item.input)
            messages.append({"role": "assistant", "content": [{"toolUse": use}]})
        case OutputItem():
            content, points = cache_points_last(_blocks(item.output, path, "output"))
            _append_result(messages, [{"toolResult": {"toolUseId": item.call_id, "content": content}}, *points])
        case ReasoningItem(encrypted_content=signed) if signed:
            reasoning = signer.open(signed)
            # reasoning that another mode signed is not Converse's
            if reasoning is not None and reasoning.keys() & {"reasoningText", "redactedContent"}:
                messages.append({"role": "assistant", "content": [{"reasoningContent": reasoning}]})
            else:
                ignored.append(f"{path}.encrypted_content")
        case ReasoningItem():
            pass
        case _:
            raise InvalidRequest(f"an item {item.type!r} is not known here", param=path)


def _add_system(item: MessageItem, path: str, messages: list[Message], system: list[Any]) -> None:
    blocks = _blocks(item.content, path)
    if any("text" not in block and "cachePoint" not in block for block in blocks):
        raise InvalidRequest("a message of this role holds only text", param=f"{path}.content")
    if messages:
        messages.append({"role": "system", "content": blocks})
    else:
        system += blocks


def _append_result(messages: list[Message], result: list[ContentBlock]) -> None:
    """Add a result; results that follow each other share one turn, as the calls do."""
    last = messages[-1]["content"] if messages and messages[-1]["role"] == "user" else []
    if last and "toolResult" in last[0]:
        last += result
    else:
        messages.append({"role": "user", "content": result})


def _blocks(content: str | list[Any], path: str, field: str = "content") -> list[ContentBlock]:
    if isinstance(content, str):
        return [{"text": content}] if content else []
    blocks: list[ContentBlock] = []
    for index, part in enumerate(content):
        here = f"{path}.{field}[{index}]"
        match part:
            case ImagePart():
                if part.image_url is None:
                    reason = "file_id is not supported: send image_url" if part.file_id else "is missing"
                    raise InvalidRequest(reason, param=f"{here}.image_url")
                blocks.append({"image": openai_media.image_of(part.image_url, f"{here}.image_url")})
            case FilePart():
                if part.file_url is not None:
                    raise InvalidRequest("files are not fetched here: send file_data", param=f"{here}.file_url")
                document = openai_media.document_of(part.file_data, part.filename, part.file_id, f"{here}.file_data")
                blocks.append({"document": document})
            case RefusalPart():
                blocks.append({"text": part.refusal})
            case _:
                blocks += [{"text": part.text}] if part.text else []
        if not isinstance(part, RefusalPart) and part.prompt_cache_breakpoint is not None:
            blocks.append(cache_point(part.prompt_cache_breakpoint))
    return blocks


def _add_format(request: ResponseRequest, body: ConverseRequest) -> None:
    wanted = request.text.format if request.text is not None else None
    if wanted is None or wanted.type != "json_schema":
        return
    if wanted.schema_ is None:
        raise InvalidRequest("json_schema needs a schema", param="text.format.schema")
    definition: Any = {"schema": json.dumps_text(wanted.schema_), "name": wanted.name or "answer"}
    if wanted.description:
        definition["description"] = wanted.description
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}
