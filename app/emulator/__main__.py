"""`python -m app.emulator --port 9000`: an emulated Bedrock for any Bedrock client."""

import argparse
import os
import socket
import sys

import uvicorn

from app.emulator.auth import Authenticator
from app.emulator.keys import ACCESS_KEY, BEARER, SECRET_KEY
from app.emulator.llm import load_llm
from app.emulator.protocol import BreakableProtocol
from app.emulator.quotas import BURST_SECONDS, Quotas
from app.emulator.server import Emulator
from app.process.signals import exit_normally_on_signals


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app.emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--access-key", default=ACCESS_KEY, help="access key id that may sign")
    parser.add_argument("--secret-key", default=SECRET_KEY, help="its secret access key")
    parser.add_argument("--bearer", default=BEARER, help="bearer key that is accepted")
    parser.add_argument("--scripted", action="store_true", help="leave the local language model out")
    options = parser.parse_args()
    try:
        listener = socket.create_server((options.host, options.port), backlog=2048)
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"cannot listen on {options.host}:{options.port}: {error}\n")
        return 1
    port = listener.getsockname()[1]
    llm, problem = (None, "left out") if options.scripted else load_llm()
    print(f"endpoint    http://{options.host}:{port}")
    print(f"credentials AWS_ACCESS_KEY_ID={options.access_key} AWS_SECRET_ACCESS_KEY={options.secret_key}")
    print(f"or          AWS_BEARER_TOKEN_BEDROCK={options.bearer}")
    print(f"local model {'loaded' if llm else problem}", flush=True)
    authenticator = Authenticator({options.access_key: options.secret_key}, frozenset({options.bearer}))
    config = uvicorn.Config(
        Emulator(authenticator, llm, _quotas()),
        http=BreakableProtocol,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    exit_normally_on_signals(lambda: server.should_exit)
    server.run(sockets=[listener])
    return 0


def _quotas() -> Quotas | None:
    per_minute = os.environ.get("BEDROCK_EMULATOR_TPM", "")
    if not per_minute:
        return None
    return Quotas(int(per_minute), float(os.environ.get("BEDROCK_EMULATOR_TPM_BURST", BURST_SECONDS)))


if __name__ == "__main__":
    raise SystemExit(main())
