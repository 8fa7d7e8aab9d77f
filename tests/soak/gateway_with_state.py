"""The gateway with an additional path that reports its tasks, files and memory: `python -m tests.soak.gateway_with_state PORT`."""

import asyncio
import gc
import sys
from pathlib import Path
from typing import Any

import uvicorn

from app.config.environment import load_settings
from app.main import create_app
from app.server.protocol import guarded
from app.wire import json

PATH = "/tests/state"


def state() -> dict[str, int]:
    """Count tasks, open files, and KiB of memory after a garbage collection."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return {
        "tasks": len(asyncio.all_tasks()),
        "files": len([*Path("/proc/self/fd").iterdir()]),
        "memory": int(status.partition("VmRSS:")[2].split()[0]),
    }


class GatewayWithState:
    def __init__(self) -> None:
        self._app = create_app(load_settings())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") != PATH:
            await self._app(scope, receive, send)
            return
        body = json.dumps(state())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(GatewayWithState(), port=int(sys.argv[1]), http=guarded(30), log_config=None, access_log=False)
