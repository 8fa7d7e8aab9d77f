"""Loads every module that the service uses, and prints their files as JSON: assemble.py compiles these to bytecode.

It serves gateway and embedded Bedrock on loopback and sends a request of each kind: a broken gateway fails the build.
"""

import json
import os
import sys
import tempfile
import threading
import time
import urllib.request
from typing import Any

import starlette.middleware.cors  # noqa: F401 -- loaded only if CORS_ORIGINS is set
import uvicorn
from sqlalchemy.ext.asyncio import create_async_engine

import app.__main__
import app.cli.probe
import app.cli.serve  # noqa: F401 -- the first is the health check, the second is loaded when it is called
from app.aws import credential_chain
from app.config.environment import load_settings
from app.console.rendering import Renderer
from app.emulator.auth import Authenticator
from app.emulator.keys import ACCESS_KEY, BEARER, SECRET_KEY
from app.emulator.server import Emulator
from app.governance.identity.key_secrets import SigningCipher
from app.main import create_app
from app.server import workers  # noqa: F401 -- loaded only if WEB_CONCURRENCY is above 1
from app.storage import responses_sqlite  # noqa: F401 -- loaded only if RESPONSES_STORE is set


def serve(application: Any) -> str:
    """Serve an application on a free loopback port until the process ends; return the base URL."""
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_config=None, access_log=False))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def send(url: str, body: Any = None) -> None:
    """Send a request; an error response raises, which fails the build."""
    urllib.request.urlopen(url, json.dumps(body).encode() if body else None).read()  # noqa: S310


def main() -> None:
    """Send requests to both programs, then print the files of the loaded modules."""
    create_async_engine("postgresql+asyncpg://")  # loads the driver
    SigningCipher(b"only for the build").encrypt("key", "secret")  # loads the library
    folder = tempfile.mkdtemp()
    bedrock = serve(Emulator(Authenticator({ACCESS_KEY: SECRET_KEY}, frozenset({BEARER}))))
    os.environ.update(
        AUTH_DISABLED="true",
        AWS_ACCESS_KEY_ID=ACCESS_KEY,
        AWS_EC2_METADATA_DISABLED="true",
        AWS_ENDPOINT_URL=bedrock,
        AWS_REGION="us-east-1",
        AWS_SECRET_ACCESS_KEY=SECRET_KEY,
        BEDROCK_MODEL_ID="scripted.echo-v1:0",
        DATABASE_URL=f"sqlite:///{folder}/outcrop.db",
        KEY_PEPPER="only-for-the-build-of-the-image-000",
    )
    gateway = serve(create_app(load_settings()))
    for streamed in (False, True):
        messages = [{"role": "user", "content": "x"}]
        send(f"{gateway}/v1/chat/completions", {"messages": messages, "stream": streamed})
    for path in ("/health/ready", "/v1/models", "/metrics", "/openapi.json", "/docs", "/redoc", "/docs/swagger-ui.css"):
        send(gateway + path)
    send(f"{gateway}/console/sign-in")
    # compiled, they stay beside the bytecode of the console
    Renderer({}).compile_all()
    # the gateway runs this program in another process
    credential_chain.run("endpoints", "bedrock-runtime", "us-east-1")
    credential_chain.run("identity", "us-east-1")
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    sys.stdout.write(json.dumps(sorted(file for file in files if file)))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
