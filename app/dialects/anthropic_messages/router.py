"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

from app.converse.call import NativeCall
from app.dialects.anthropic_messages.errors import OVERLOADED, render_error
from app.dialects.anthropic_messages.facts import MessageFacts
from app.dialects.anthropic_messages.native import NativeStream, UsageOfMessages, from_document
from app.dialects.anthropic_messages.request import to_call
from app.dialects.anthropic_messages.response import from_reply
from app.dialects.anthropic_messages.schema_in import CountTokensRequest, MessagesRequest
from app.dialects.anthropic_messages.schema_out import ErrorOut, MessageOut, TokenCount
from app.dialects.anthropic_messages.stream import PING, EventStream
from app.dialects.documents import load_document, validate
from app.dialects.envelopes import JSON, Answer, Streamed, Whole
from app.dialects.replies import SSE, frames, understanding
from app.dialects.route import MEANINGS, Door, Threshold, error_responses
from app.errors import GatewayError, InvalidRequest, ModelNotFound
from app.kit import ids, json
from app.pipeline.exchange import Exchange
from app.pipeline.run import Pipeline

DIALECT = "anthropic_messages"
FORMAT = "anthropic"
_OWN_WORDS = {400: "The request cannot be carried out; the message begins with the field.", OVERLOADED: MEANINGS[503]}
ERRORS = error_responses(ErrorOut, {**{status: MEANINGS[status] for status in MEANINGS if status != 503}, **_OWN_WORDS})

_LAST = "message_stop"
# where nobody counts: English text has about four letters a token
_LETTERS_A_TOKEN = 4
_TOKENS_OF_MEDIA = 1600  # what a picture of a million pixels costs
_QUESTION = {"max_tokens": 256, "messages": [{"role": "user", "content": "Say hello."}]}
_EXAMPLES = {
    "plain": {"summary": "A question", "value": _QUESTION},
    "streamed": {"summary": "A stream", "value": {**_QUESTION, "stream": True}},
    "tools": {
        "summary": "A tool, with the embedded Bedrock's scripted model",
        "value": {
            **_QUESTION,
            "model": "scripted.tools-v1:0",
            "messages": [{"role": "user", "content": "What is the weather in Bern?"}],
            "tools": [
                {
                    "name": "get_weather",
                    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
                }
            ],
        },
    },
}


def message_routes(pipeline: Pipeline, threshold: Threshold) -> Sequence[Door]:
    """The routes of this dialect."""

    async def create(exchange: Exchange) -> Answer:
        return await _create(pipeline, exchange)

    async def count(exchange: Exchange) -> Answer:
        return await _count(pipeline, exchange)

    async def create_message(body: MessagesRequest) -> MessageOut:
        """Answer a conversation, in one piece or, with `stream`, as Anthropic's server-sent events."""
        raise AssertionError(body)

    async def count_tokens(body: CountTokensRequest) -> TokenCount:
        """Count the tokens of a request without sending it. Where Bedrock does not count for the model, the count is
        an estimate, and `x-outcrop-estimated` says so."""
        raise AssertionError(body)

    routes: tuple[tuple[str, Callable[..., Any], Any, str, dict[int | str, Any]], ...] = (
        (
            "/v1/messages",
            create_message,
            create,
            "Create a message",
            {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
        ),
        ("/v1/messages/count_tokens", count_tokens, count, "Count the tokens of a message", {}),
    )
    return [
        Door(
            path,
            documented,
            dialect=DIALECT,
            handler=handler,
            render_error=render_error,
            threshold=threshold,
            methods=["POST"],
            tags=["Anthropic"],
            summary=summary,
            responses={**responses, **ERRORS},
            openapi_extra={"requestBody": {"content": {"application/json": {"examples": _EXAMPLES}}}},
        )
        for path, documented, handler, summary, responses in routes
    ]


async def _create(pipeline: Pipeline, exchange: Exchange) -> Answer:
    document = _document(exchange)
    name, is_streamed = _name(document), _is_streamed(document)
    facts = MessageFacts(ids.new_id("msg_"), name or pipeline.planner.default_model, exchange.record.request_id)
    answer_headers = (("request-id", exchange.record.request_id),)
    if pipeline.takes_natively(name, FORMAT):
        native_call = _native_call(exchange, document)
        if not is_streamed:
            answered = await pipeline.invoke(exchange, native_call, UsageOfMessages())
            return Whole(200, (*JSON, *answer_headers), json.dumps(from_document(answered, facts)))
        documents = await pipeline.invoke_stream(exchange, native_call, UsageOfMessages(), _LAST)
        native = NativeStream(facts)
        chunks = frames(documents, native.from_documents, native.finish)
        return Streamed(200, (*SSE, *answer_headers), chunks, native.fail, PING)
    call = to_call(validate(document, MessagesRequest), _betas(exchange))
    if not is_streamed:
        reply = await pipeline.complete(exchange, call)
        with understanding():
            return Whole(200, (*JSON, *answer_headers), json.dumps(from_reply(reply, facts)))
    events = await pipeline.stream(exchange, call)
    translator = EventStream(facts)
    chunks = frames(events, translator.from_events, translator.finish)
    return Streamed(200, (*SSE, *answer_headers), chunks, translator.fail, PING)


async def _count(pipeline: Pipeline, exchange: Exchange) -> Answer:
    document = _document(exchange)
    name = _name(document)
    counted: dict[str, Any]
    if pipeline.takes_natively(name, FORMAT):
        # counted is what would be sent, and that needs room for the answer behind the thoughts
        room = {"max_tokens": _budget(document) + 1}
        body = pipeline.fitted(exchange, _native_call(exchange, {**document, **room}))
        counted = {"invokeModel": {"body": b64encode(json.dumps(body)).decode()}}
    else:
        request = validate({**document, "max_tokens": 1}, CountTokensRequest)
        tailored: Any = pipeline.tailored(exchange, to_call(request, _betas(exchange))).body
        parts = ("messages", "system", "toolConfig")
        counted = {"converse": {part: tailored[part] for part in parts if part in tailored}}
    headers = (*JSON, ("request-id", exchange.record.request_id))
    try:
        tokens = await pipeline.count_tokens(exchange, name, counted)
    except (InvalidRequest, ModelNotFound) as error:
        if not _does_not_count(error):
            raise
        tokens = estimate_tokens(document)
        headers = (*headers, ("x-outcrop-estimated", "input_tokens"))
    return Whole(200, headers, json.dumps({"input_tokens": tokens}))


def estimate_tokens(value: Any) -> int:
    """About how many tokens a body has: a quarter of its letters, and a fixed number for each picture or document."""
    match value:
        case {"type": "base64", "data": _}:
            return _TOKENS_OF_MEDIA
        case dict():
            return sum(len(name) // _LETTERS_A_TOKEN + estimate_tokens(inside) for name, inside in value.items())
        case list():
            return sum(map(estimate_tokens, value))
        case _:
            return -(-len(str(value)) // _LETTERS_A_TOKEN)


def _budget(document: dict[str, Any]) -> int:
    thinking = document.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return budget if isinstance(budget, int) else 0


def _does_not_count(error: GatewayError) -> bool:
    """True where Bedrock counts no tokens for the model (recording anthropic_bedrock_count_tokens_error)."""
    words = error.message.lower()
    return "counting tokens" in words or "inference profile" in words


def _document(exchange: Exchange) -> dict[str, Any]:
    document = load_document(exchange.body)
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    return document


def _name(document: dict[str, Any]) -> str:
    name = document.get("model", "")
    if not isinstance(name, str):
        raise InvalidRequest("must be a string", param="model")
    return name


def _is_streamed(document: dict[str, Any]) -> bool:
    streamed = document.get("stream")
    if streamed is not None and not isinstance(streamed, bool):
        raise InvalidRequest("must be true or false", param="stream")
    return streamed is True


def _native_call(exchange: Exchange, document: dict[str, Any]) -> NativeCall:
    return NativeCall(_name(document), document, exchange.head.header("anthropic-version"), _betas(exchange))


def _betas(exchange: Exchange) -> list[str]:
    return [beta.strip() for beta in exchange.head.header("anthropic-beta").split(",") if beta.strip()]
