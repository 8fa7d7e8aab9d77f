"""The reference prototype: the smallest gateway that translates a chat request, for comparison.

It is one raw ASGI function over the gateway's own HTTP client, signer and codecs. It has no keys, limits, log, metrics,
retries, timeouts or adaptation, and it checks nothing. Run it as a process: `python -m benchmarks.prototype`.
"""

import os

import uvicorn
from starlette.types import Receive, Scope, Send

from app.bedrock.credentials import Credentials
from app.bedrock.http1.transport import Http1Transport
from app.bedrock.signing import Signer, SigningTarget
from app.bedrock.transport import HttpRequest, HttpResponse
from app.wire import json
from app.wire.eventstream import FrameDecoder

_JSON_HEADERS = (("content-type", "application/json"), ("accept", "application/json"))
_STOP_REASONS = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


class Prototype:
    """Serves `POST /v1/chat/completions`; every other path returns 200."""

    def __init__(self, endpoint: str, region: str, identity: Credentials) -> None:
        self._endpoint = endpoint
        self._host = endpoint.partition("://")[2]
        self._identity = identity
        self._signer = Signer(region)
        self._transport = Http1Transport(10.0, 120.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            return
        if scope["method"] != "POST":
            await _send_complete(send, b"{}")
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        request = json.loads(body)
        is_stream = request.get("stream", False)
        response = await self._open(request, "converse-stream" if is_stream else "converse")
        if is_stream:
            await _relay(send, response, request["model"])
        else:
            await _send_complete(send, _completion(json.loads(await response.read()), request["model"]))

    async def _open(self, request: json.JsonObject, operation: str) -> HttpResponse:
        messages = [
            {"role": message["role"], "content": [{"text": message["content"]}]} for message in request["messages"]
        ]
        body = json.dumps({"messages": messages})
        path = f"/model/{request['model']}/{operation}"
        target = SigningTarget("POST", self._host, path, headers=_JSON_HEADERS)
        headers = self._signer.sign(self._identity, target, body)
        return await self._transport.open(HttpRequest("POST", f"{self._endpoint}{path}", headers, body))


def _completion(reply: json.JsonObject, model: str) -> bytes:
    usage = reply["usage"]
    message = {
        "role": "assistant",
        "content": "".join(block["text"] for block in reply["output"]["message"]["content"]),
    }
    return json.dumps(
        {
            "id": "chatcmpl-prototype",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": _STOP_REASONS[reply["stopReason"]]}],
            "usage": {
                "prompt_tokens": usage["inputTokens"],
                "completion_tokens": usage["outputTokens"],
                "total_tokens": usage["totalTokens"],
            },
        }
    )


async def _send_complete(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _relay(send: Send, response: HttpResponse, model: str) -> None:
    """Send each read of a stream as server-sent events."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    frames = FrameDecoder()
    pieces: list[bytes] = []

    def take(data: bytes) -> bool:
        for frame in frames.feed(data):
            chunk = _chunk(str(frame.headers[":event-type"]), json.loads(frame.payload), model)
            if chunk is not None:
                pieces.append(b"data: %s\n\n" % json.dumps(chunk))
        return not pieces

    while not await response.deliver(take):
        await send({"type": "http.response.body", "body": b"".join(pieces), "more_body": True})
        pieces.clear()
    pieces.append(b"data: [DONE]\n\n")
    await send({"type": "http.response.body", "body": b"".join(pieces)})


def _chunk(kind: str, payload: json.JsonObject, model: str) -> json.JsonObject | None:
    delta: json.JsonObject = {}
    finish_reason = None
    if kind == "messageStart":
        delta = {"role": "assistant", "content": ""}
    elif kind == "contentBlockDelta":
        delta = {"content": payload["delta"]["text"]}
    elif kind == "messageStop":
        finish_reason = _STOP_REASONS[payload["stopReason"]]
    else:
        return None
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-prototype",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": [choice],
    }


def main() -> None:
    """Serve until SIGTERM, with the settings of the environment that `benchmarks.processes.gateway` gives."""
    identity = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    application = Prototype(os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_REGION"], identity)
    uvicorn.run(application, host="127.0.0.1", port=int(os.environ["PORT"]), lifespan="off", access_log=False)


if __name__ == "__main__":
    main()
