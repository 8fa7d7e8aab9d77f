"""The holder of one key attacks the gateway, as a process: `python -m tests.soak.hostile_key PORT KEY SECONDS [NAMES]`.

It makes each attack for SECONDS, and prints the time and the name of each. NAMES: names of callers whose signatures it
forges, separated by commas.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache, partial

PARALLEL = 40
# a model behind another endpoint: its large responses must not delay those of the upstream that honest callers use
HEAVY, HEAVY_EMBEDDINGS = "heavy", "heavy-embeddings"
_CHAT, _CONVERSE = "/v1/chat/completions", "/model/a.b/converse"
_READ_BYTES = 2**18


class Hostile:
    """Sends requests. key: its secret. names: callers whose signatures it forges."""

    def __init__(self, port: int, key: str, names: list[str]) -> None:
        self._port, self._key, self._names = port, key, names

    async def send(self, path: str, body: bytes, *, reads: bool = True, authorization: str = "") -> None:
        """Send one request on a connection of its own; read the response, or leave it unread until the attack ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_READ_BYTES)
        try:
            writer.write(self._head(path, len(body), authorization) + body)
            await writer.drain()
            if not reads:
                writer.transport.pause_reading()
                await asyncio.sleep(3600)
            await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.transport.abort()

    async def drip(self, path: str, authorization: str = "") -> None:
        """Send a body one byte at a time."""
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._head(path, 24_000_000, authorization) + b"x" * 1000)
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.1)
        finally:
            writer.transport.abort()

    def forged(self) -> str:
        """Return a signature with the name of another caller."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{random.choice(self._names)}/{now[:8]}/us-east-1/bedrock/aws4_request"
        signature = f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
        return f"AWS4-HMAC-SHA256 Credential={scope}, {signature}\r\nx-amz-date: {now}"

    def _head(self, path: str, length: int, authorization: str) -> bytes:
        return (
            f"{'GET' if not length else 'POST'} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            f"authorization: {authorization or f'Bearer {self._key}'}\r\ncontent-length: {length}\r\n\r\n"
        ).encode()


def chat(text: bytes, more: bytes = b"") -> bytes:
    return b'{"model":"a.b",%b"messages":[{"role":"user","content":"%b"}]}' % (more, text)


@cache
def large_bodies() -> list[bytes]:
    def filled(unit: bytes, size: int = 24_000_000) -> bytes:
        return unit * (size // len(unit))

    return [
        chat(filled(rb"\n"))[:-5],
        chat(rb"\ud800" + filled(rb"\n", 19_000_000)),
        chat(filled(rb"\ud83d\ude00")),
        chat(filled(rb"\ud800")),
        chat(filled(rb"\n", 19_000_000) + rb"\ud8")[:-4],
        b"[" * 24_000_000,
        filled(b'{"a":', 19_000_000),
        chat(b"", b'"x":[%b1],' % filled(b"[],", 23_000_000)),
        chat(b"a" * 20_000_000, b'"x":[%b1],' % (b'{"a":1},' * 95_000)),
        chat("😀".encode() + filled(b"a", 23_000_000)),
        chat(filled("漢".encode())),
        chat(filled(rb"\"", 20_000_000)),
        chat(b"", b'"tools":[%b],' % b",".join([b'{"type":"function","function":{"name":"a"}}'] * 400_000)),
        b"\xff" * 24_000_000,
    ]


def small(words: str, model: str = "a.b", **more: object) -> bytes:
    message = {"role": "user", "content": words}
    return json.dumps({"model": model, "messages": [message], "max_tokens": 500, **more}).encode()


Attack = Callable[[], Awaitable[None]]


def attacks(hostile: Hostile) -> dict[str, tuple[int, Attack]]:
    """Return the attacks by name: how many run at once, and one of them."""
    send = hostile.send

    async def large() -> None:
        await send(random.choice([_CHAT, _CHAT, _CONVERSE, "/v1/messages"]), random.choice(large_bodies()))

    async def forged_large() -> None:
        await send(_CONVERSE, random.choice(large_bodies()), authorization=hostile.forged())

    async def wrong_key() -> None:
        await send(_CHAT, small("hi"), authorization=f"Bearer {random.random()}")

    async def forged() -> None:
        await send(_CONVERSE, small("hi"), authorization=hostile.forged())

    embeddings = json.dumps({"model": HEAVY_EMBEDDINGS, "input": ["a"] * 2048}).encode()
    return {
        "large bodies": (5, large),
        "large bodies of forged signatures": (5, forged_large),
        "slow bodies": (PARALLEL, partial(hostile.drip, _CHAT)),
        "slow bodies of forged signatures": (PARALLEL, lambda: hostile.drip(_CONVERSE, hostile.forged())),
        "unread streams": (PARALLEL, partial(send, _CHAT, small("please flood", HEAVY, stream=True), reads=False)),
        "unread responses": (PARALLEL, partial(send, _CHAT, small("please be huge", HEAVY), reads=False)),
        "unread native responses": (
            PARALLEL,
            partial(send, f"/model/{HEAVY}/invoke", b'{"a":"please be huge"}', reads=False),
        ),
        "embeddings": (4, partial(send, "/v1/embeddings", embeddings)),
        "bodies that fail": (PARALLEL, partial(send, _CHAT, small("please crash"))),
        "refused parameters": (PARALLEL, partial(send, _CHAT, small("please limit"))),
        "forged signatures": (10, forged),
        "wrong keys": (10, wrong_key),
        "slow requests": (PARALLEL, partial(send, _CHAT, small("please wait"))),
        "documents": (10, partial(send, "/openapi.json", b"")),
    }


NAMES = [*attacks(Hostile(0, "", []))]


async def run(port: int, key: str, seconds: float, names: list[str]) -> None:
    """Make each attack once."""
    large_bodies()
    hostile = Hostile(port, key, names)

    async def again(attack: Attack) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await attack()
            await asyncio.sleep(0.01)

    for name, (count, attack) in attacks(hostile).items():
        print(time.monotonic(), name, flush=True)
        tasks = [asyncio.create_task(again(attack)) for _ in range(count)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    os.nice(19)  # the honest callers share its processor
    asyncio.run(run(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4].split(",")))
