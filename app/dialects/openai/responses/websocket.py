"""The WebSocket at `/v1/responses`: each message `response.create` is answered with the events of a response.

A message may continue the last response of its connection by `previous_response_id`, although that was not stored. If
it fails, that response can no longer be continued.

Sources:
- Open Responses, specification of 2026-04-24
- docs/reference/contracts/openai-responses.md#websocket
"""

from __future__ import annotations

from functools import partial

from msgspec import Struct

from app.dialects.http.handler import DialectHandler, streaming_operation
from app.dialects.http.identifiers import new_id
from app.dialects.http.responses import JSON, SSE, Answer, CompleteResponse, retry_after
from app.dialects.openai.common.errors import message_of, type_and_code_of
from app.dialects.openai.responses.adapter import ResponsesAdapter
from app.dialects.openai.responses.connection_responses import AdapterOfMessage, ConnectionResponses
from app.errors import GatewayError, InvalidRequest
from app.execution.executor import Executor
from app.execution.request_context import RequestContext
from app.storage.responses import MemoryResponses
from app.wire import json
from app.wire.json import JsonObject
from app.wire.sse import named_frame

_CREATE = "response.create"
# members of a message that its request does not have; HTTP alone streams on demand
_OF_MESSAGES = frozenset({"type", "stream", "stream_options"})
# false: the input is only kept, for the next message to continue
_GENERATE = "generate"


class ResponsesWebSocket(Struct):
    """Handles the messages of one connection.

    adapter_for: makes the adapter of a message. owner: the caller, once it is known.
    """

    executor: Executor
    responses: ConnectionResponses
    adapter_for: AdapterOfMessage
    owner: str = ""

    @classmethod
    def of(cls, executor: Executor, memory: MemoryResponses, adapter_for: AdapterOfMessage) -> ResponsesWebSocket:
        """Return the handler of a new connection. memory: keeps the last response of every connection."""
        return cls(executor, ConnectionResponses(memory, new_id("ws_")), adapter_for)

    async def handle(self, context: RequestContext) -> Answer:
        """Answer a message with a stream. Raises GatewayError."""
        self.owner = context.caller.name
        dialect = DialectHandler(self.executor, partial(self.adapter_for, connection=self.responses), _to_request)
        adapter = await dialect.open(context)
        context.record.streamed = True
        if adapter.document.get(_GENERATE) is False and isinstance(adapter, ResponsesAdapter):
            return CompleteResponse(200, SSE, _events(await adapter.empty_response()))
        return await self.executor.run(context, adapter.model, partial(streaming_operation, adapter))

    def render_error(self, error: GatewayError, request_id: str) -> CompleteResponse:
        """Return the event for an error. Its headers are those that a response of HTTP would have."""
        kind, code = type_and_code_of(error)
        detail = {"type": kind, "code": code or kind, "message": message_of(error), "param": error.param}
        headers = {"x-request-id": request_id, **dict(retry_after(error))}
        event = {"type": "error", "status": error.status, "error": detail, "headers": headers}
        return CompleteResponse(error.status, JSON, json.dumps(event))

    async def close(self) -> None:
        """Forget the connection's response."""
        await self.responses.delete(self.owner)


def _to_request(message: JsonObject) -> JsonObject:
    if message.get("type") != _CREATE:
        raise InvalidRequest(f"must be {_CREATE}", param="type")
    if not isinstance(message.get(_GENERATE), bool | None):
        raise InvalidRequest("must be true or false", param=_GENERATE)
    return {**{name: value for name, value in message.items() if name not in _OF_MESSAGES}, "stream": True}


def _events(response: JsonObject) -> bytes:
    """Return the events of a response that is complete at once."""
    begun = {**response, "status": "in_progress", "completed_at": None, "usage": None}
    steps = (("response.created", begun), ("response.completed", response))
    return b"".join(
        named_frame(kind, json.dumps({"type": kind, "sequence_number": number, "response": each}))
        for number, (kind, each) in enumerate(steps)
    )
