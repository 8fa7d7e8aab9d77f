"""`python -m app` serves; `python -m app check` tries every step of the way to Bedrock and tells what fails."""

import argparse
import asyncio

import uvicorn

from app.check import run_check
from app.main import create_app, settings_or_exit
from app.telemetry.logs import configure_logging


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["serve", "check"], default="serve")
    if parser.parse_args().command == "check":
        return asyncio.run(run_check())
    settings = settings_or_exit()
    configure_logging(settings.log_level)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_certfile,
        ssl_keyfile=settings.tls_keyfile,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.shutdown_grace),
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
