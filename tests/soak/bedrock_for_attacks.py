"""A Bedrock for the soak with a hostile key, as a process: `python -m tests.soak.bedrock_for_attacks PORT`.

It answers after ANSWER_SECONDS; streams send PIECES pieces. Words in a request make it misbehave: see `handle`.
"""

import asyncio
import sys

from app.wire import json
from app.wire.eventstream import encode_frame
from tests.servers import CHUNKED_STREAM, chunk, http_reply, read_request

# a short answer of a fast model; one call into C for 24 MB of JSON holds the gateway for half of it
ANSWER_SECONDS = 0.2
PIECES, PIECE_SECONDS = 10, 0.02
HUGE_BYTES = 20_000_000
_SLOW_SECONDS = 30.0
_LIMIT = "The maximum tokens you requested exceeds the model limit of 1."


def _complete(text: str) -> bytes:
    reply = {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
    }
    return http_reply(json.dumps(reply))


def _error(status: str, name: str, message: str) -> bytes:
    return http_reply(json.dumps({"message": message}), status, extra=f"x-amzn-errortype: {name}\r\n")


def _event(kind: str, payload: dict[str, object]) -> bytes:
    headers = {":message-type": "event", ":event-type": kind, ":content-type": "application/json"}
    return chunk(encode_frame(headers, json.dumps(payload)))


_SMALL, _HUGE = _complete("hello"), _complete("x" * HUGE_BYTES)
_VECTOR = f"[{','.join(f'0.{7919 * index:016d}' for index in range(1536))}]"
_START = _event("messageStart", {"role": "assistant"})
_PIECE = _event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "word "}})
_LARGE_PIECE = _event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "word " * 2000}})
_END = (
    _event("contentBlockStop", {"contentBlockIndex": 0})
    + _event("messageStop", {"stopReason": "end_turn"})
    + _event(
        "metadata",
        {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1}},
    )
    + b"0\r\n\r\n"
)


def _embeddings(body: bytes) -> bytes:
    vectors = ",".join([_VECTOR] * len(json.loads(body)["texts"]))
    return http_reply(f'{{"embeddings":{{"float":[{vectors}]}},"response_type":"embeddings_by_type"}}'.encode())


async def _stream(writer: asyncio.StreamWriter, is_endless: bool) -> None:
    writer.write(CHUNKED_STREAM + _START)
    while is_endless:
        writer.write(_LARGE_PIECE)
        await writer.drain()
    for _ in range(PIECES):
        writer.write(_PIECE)
        await asyncio.sleep(PIECE_SECONDS)
    writer.write(_END)


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection. Only the start and the end of a body are searched for the words."""
    try:
        while True:
            head, body = await read_request(reader)
            asked = body[:1000]
            if b"please crash" in asked:
                writer.write(_error("500 No", "InternalServerException", "crashed"))
            elif b"please limit" in asked and b'"maxTokens":1}' not in body[-1000:]:
                writer.write(_error("400 No", "ValidationException", _LIMIT))
            elif b"please wait" in asked:
                await asyncio.sleep(_SLOW_SECONDS)
                writer.write(_SMALL)
            elif b"cohere.embed" in head.partition(b"\r\n")[0]:
                writer.write(_embeddings(body))
            elif b"-stream" in head.partition(b"\r\n")[0]:
                await asyncio.sleep(ANSWER_SECONDS)
                await _stream(writer, b"please flood" in asked)
            else:
                await asyncio.sleep(ANSWER_SECONDS)
                writer.write(_HUGE if b"please be huge" in asked else _SMALL)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.start_server(handle, "127.0.0.1", port, limit=2**20)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
