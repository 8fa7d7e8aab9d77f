"""Count the functions and files of `app/` that one warm chat request runs.

    python -m benchmarks.request_path [--list]

The application runs as an ASGI application in this process; the emulated Bedrock runs in another. `sys.setprofile`
counts the calls of Python functions of `app/`, except in tasks that began with the application, such as the timer of
`Load.watch`. A hop is a call in another file than the call before it. The request with the median number of hops is
reported, and the most hops of all: a response that arrives in more reads resumes the coroutines more often.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from benchmarks.processes import KEY, ROOT, free_port

_APP = str(ROOT / "app") + os.sep
_WARM_UP_REQUESTS = 5
_MEASURED_REQUESTS = 15
_PATH = "/v1/chat/completions"
_MODEL = "scripted.echo-v1:0"
# tasks and connections have the context in which they began
_is_of_requests = ContextVar("is_of_requests", default=False)


@dataclass
class RequestPath:
    """The calls of functions of `app/` in one request, in order, with repetitions."""

    calls: list[CodeType] = field(default_factory=list)

    @property
    def functions(self) -> int:
        """The number of distinct functions."""
        return len(set(self.calls))

    @property
    def files(self) -> int:
        """The number of distinct files."""
        return len({code.co_filename for code in self.calls})

    @property
    def hops(self) -> int:
        """How often a call is in another file than the call before it."""
        return sum(
            code.co_filename != before.co_filename for before, code in zip(self.calls, self.calls[1:], strict=False)
        )

    def lines(self) -> Iterator[str]:
        """List the calls in order, with a heading where the file changes."""
        file = ""
        for code in self.calls:
            if code.co_filename != file:
                file = code.co_filename
                yield file.removeprefix(_APP)
            yield f"    {code.co_qualname}:{code.co_firstlineno}"


async def request(application: Any, body: bytes) -> int:
    """Send one chat request to an ASGI application; return the status."""
    received, status = asyncio.Event(), 0
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        message = next(messages, None)
        if message is None:
            await received.wait()
            return {"type": "http.disconnect"}
        return message

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)
        if not message.get("more_body", message["type"] == "http.response.start"):
            received.set()

    headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json")]
    await application(
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": _PATH,
            "raw_path": _PATH.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        },
        receive,
        send,
    )
    return status


@contextmanager
def _profiled(path: RequestPath) -> Iterator[None]:
    def record_call(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(_APP) and _is_of_requests.get():
            path.calls.append(frame.f_code)

    sys.setprofile(record_call)
    try:
        yield
    finally:
        sys.setprofile(None)


@contextmanager
def emulated_bedrock() -> Iterator[int]:
    """Run the emulated Bedrock as a process; yield its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.emulator", "--scripted", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(500):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait()


async def _measure(application: Any, *, streamed: bool) -> list[RequestPath]:
    question = {"messages": [{"role": "user", "content": "Say hello."}]}
    body = json.dumps({**question, "stream": True} if streamed else question).encode()
    paths = [RequestPath() for _ in range(_MEASURED_REQUESTS)]
    async with application.router.lifespan_context(application):
        _is_of_requests.set(True)
        for _ in range(_WARM_UP_REQUESTS):
            await request(application, body)
        for path in paths:
            with _profiled(path):
                status = await request(application, body)
            if status != 200:
                raise RuntimeError(f"the chat request returned status {status}")
    return sorted(paths, key=lambda path: path.hops)


def measure(model: str, *, streamed: bool) -> list[RequestPath]:
    """Run warm chat requests to a model of an emulated Bedrock, and return their paths, the shortest first."""
    with emulated_bedrock() as port:
        os.environ.update(
            AWS_REGION="us-east-1",
            AWS_ACCESS_KEY_ID=ACCESS_KEY,
            AWS_SECRET_ACCESS_KEY=SECRET_KEY,
            AWS_EC2_METADATA_DISABLED="true",
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
            BEDROCK_MODEL_ID=model,
            API_KEYS=f"bench={KEY}",
        )
        from app.config.environment import load_settings
        from app.main import create_app

        return asyncio.run(_measure(create_app(load_settings("none.env")), streamed=streamed))


def main() -> None:
    """Print the length of the path of a complete and of a streamed chat request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.request_path", description=__doc__)
    parser.add_argument("--model", default=_MODEL, help="the model that is called")
    parser.add_argument("--list", action="store_true", help="print every call, by file")
    arguments = parser.parse_args()
    for title, streamed in (("complete", False), ("streamed", True)):
        paths = measure(arguments.model, streamed=streamed)
        path, count = paths[len(paths) // 2], len(paths)
        print(
            f"{title}: {path.functions} functions, {path.files} files, {path.hops} hops"
            f" (the most of {count} requests: {paths[-1].hops})"
        )
        if arguments.list:
            print("\n".join(path.lines()))


if __name__ == "__main__":
    main()
