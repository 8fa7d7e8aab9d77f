"""A gateway before an upstream that accepts every request, and keeps what reaches it."""

from asyncio import StreamReader, StreamWriter
from typing import Any

import httpx
from msgspec import Struct

from app.wire import json
from tests.servers import KEY, http_reply, read_request

USER: Any = {"role": "user", "content": "hi"}
TOKENS = 1000
_VECTOR = [0.5] * 1024
_OPENAI: Any = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "m",
    "output": [],
    "usage": {"input_tokens": TOKENS, "output_tokens": TOKENS, "total_tokens": 2 * TOKENS},
}
_ANTHROPIC: Any = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [],
    "model": "m",
    "stop_reason": "end_turn",
    "usage": {"input_tokens": TOKENS, "output_tokens": TOKENS},
}
# by the end of the path
REPLIES: dict[str, Any] = {
    "/converse": {
        "output": {
            "message": {
                "role": "assistant",
                "content": [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "ok"}],
            }
        },
        "stopReason": "end_turn",
        "usage": {"inputTokens": TOKENS, "outputTokens": TOKENS, "totalTokens": 2 * TOKENS},
    },
    "/responses": _OPENAI,
    "/chat/completions": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": TOKENS, "completion_tokens": TOKENS, "total_tokens": 2 * TOKENS},
    },
    "/invoke": _ANTHROPIC,
    "/v1/messages": _ANTHROPIC,
}
# in the forms of Titan, of Cohere and Nova, and of Marengo
_EMBEDDINGS: Any = {
    "embedding": _VECTOR,
    "inputTextTokenCount": TOKENS,
    "embeddings": [{"embeddingType": "IMAGE", "embedding": _VECTOR}],
    "data": [{"embedding": _VECTOR}],
}


class SentRequest(Struct, frozen=True):
    """A request that reached the upstream."""

    path: str
    head: str
    body: Any


class AcceptingBedrock:
    """The upstream, and the client of the gateway. url: of the gateway. requests: what has arrived, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[SentRequest] = []

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            path = head.split(b" ")[1].decode()
            reply = next((reply for end, reply in REPLIES.items() if path.endswith(end)), None)
            if reply is not None:
                self.requests.append(SentRequest(path, head.decode().lower(), json.loads(body)))
                reply = self.reply(self.requests[-1]) or reply
            is_refusal = reply is None or "refused" in reply
            answer = http_reply(
                json.dumps({} if reply is None else reply.get("refused", reply)),
                "200 OK" if not is_refusal else "404 Not Found" if reply is None else "400 Bad Request",
                extra="x-amzn-errortype: ValidationException\r\n" if is_refusal else "",
            )
            writer.write(answer)
            await writer.drain()

    def reply(self, request: SentRequest) -> Any:
        """Return the reply to a request, or nothing for the usual one; `refused` in it is the body of a 400."""
        is_embedding = request.path.endswith("/invoke") and "messages" not in request.body
        return _EMBEDDINGS if is_embedding else None

    def send(self, path: str, **body: Any) -> tuple[httpx.Response, Any]:
        """Send a request; return the answer, and the last body that reached the upstream."""
        self.requests.clear()
        headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
        answer = httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=30)
        return answer, self.requests[-1].body if self.requests else None

    def chat(self, model: str, **body: Any) -> Any:
        """Send a chat completion that succeeds; return what reached the upstream."""
        return self._sent("/v1/chat/completions", **{"model": model, "messages": [USER], **body})

    def respond(self, model: str, **body: Any) -> Any:
        """Send a request of Responses that succeeds; return what reached the upstream."""
        return self._sent("/v1/responses", **{"model": model, "input": "hi", "store": False, **body})

    def message(self, model: str, **body: Any) -> Any:
        """Send a request of Messages that succeeds; return what reached the upstream."""
        return self._sent("/v1/messages", **{"model": model, "max_tokens": 99, "messages": [USER], **body})

    def _sent(self, path: str, **body: Any) -> Any:
        answer, sent = self.send(path, **body)
        assert answer.status_code == 200, answer.text
        return sent
