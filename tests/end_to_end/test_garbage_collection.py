"""A finished request leaves no reference cycles: its memory is freed without the garbage collector."""

import contextlib
import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.wire import json
from tests.servers import KEY, emulator_app, gateway, serving

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
ECHO = "scripted.echo-v1:0"
HELLO: Any = [{"role": "user", "content": "hi"}]
CONTENT: Any = [{"role": "user", "content": [{"text": "hi"}]}]
CALLS: dict[str, tuple[str, Any]] = {
    "chat": ("/v1/chat/completions", {"model": ECHO, "messages": HELLO}),
    "chat, streamed": ("/v1/chat/completions", {"model": ECHO, "messages": HELLO, "stream": True}),
    "native": ("/v1/messages", {"model": CLAUDE, "max_tokens": 5, "messages": HELLO}),
    "native, streamed": ("/v1/messages", {"model": CLAUDE, "max_tokens": 5, "messages": HELLO, "stream": True}),
    "responses": ("/v1/responses", {"model": ECHO, "input": "hi", "store": False}),
    "passthrough": (f"/model/{ECHO}/converse", {"messages": CONTENT}),
    "passthrough, streamed": (f"/model/{ECHO}/converse-stream", {"messages": CONTENT}),
    "failed once, then answered": ("/v1/chat/completions", {"model": f"{ECHO}.throttle-1", "messages": HELLO}),
    **{
        f"{fault}, {mode}": (path, {**body, "model": f"{model}.{fault}"} if "model" in body else body)
        for fault in ("exception", "badcrc", "cut", "stop")
        for mode, path, model, body in (
            ("translated", "/v1/chat/completions", ECHO, {"model": "", "messages": HELLO, "stream": True}),
            ("native", "/v1/messages", CLAUDE, {"model": "", "max_tokens": 5, "messages": HELLO, "stream": True}),
            ("passthrough", f"/model/{ECHO}.{fault}/converse-stream", ECHO, {"messages": CONTENT}),
        )
    },
    "refused": ("/v1/chat/completions", {"model": ECHO, "messages": 5}),
    "refused by Bedrock": ("/v1/chat/completions", {"model": ECHO, "messages": HELLO, "temperature": 7}),
}


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with serving(emulator_app()) as bedrock, gateway(bedrock) as url:
        yield url


@pytest.mark.parametrize("name", CALLS)
def test_finished_request_leaves_no_reference_cycles(base: str, name: str) -> None:
    path, document = CALLS[name]
    body = json.dumps(document)
    with httpx.Client(base_url=base, headers={"authorization": f"Bearer {KEY}"}) as client:
        for _ in range(3):  # objects that are created once are not garbage
            with contextlib.suppress(httpx.RemoteProtocolError):
                client.post(path, content=body)
        gc.collect()
        gc.freeze()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for number in range(10):
                with contextlib.suppress(httpx.RemoteProtocolError):  # the response is cut
                    client.post(path, content=body.replace(b'"hi"', b'"hi %d"' % number))
            gc.collect()
            kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    ours = {kind: count for kind, count in kinds.items() if kind.startswith(("app.", "uvicorn.")) and count >= 10}
    assert ours == {}
