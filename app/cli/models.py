"""`outcrop models`: lists the names that callers can use."""

import asyncio
import logging
import sys
from typing import TextIO

import click

from app.cli.options import config_option
from app.composition.gateway import Gateway, build_gateway
from app.config.environment import faults_end_the_start, load_settings
from app.errors import GatewayError
from app.routing.planner import DEFAULT_ALIAS
from app.server.worker_context import WorkerContext
from app.wire import json


@click.command("models")
@config_option
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document, for programs.")
def command(is_json: bool) -> None:
    """List names and what they stand for: this deployment's own, then those of vendors; then the region's models."""
    logging.disable()
    with faults_end_the_start():
        gateway = build_gateway(load_settings(), WorkerContext(), governs=False)
    raise SystemExit(asyncio.run(list_models(gateway, is_json=is_json)))


async def list_models(gateway: Gateway, out: TextIO = sys.stdout, *, is_json: bool = False) -> int:
    """Write the names, and close the gateway; returns 1 if Bedrock's lists cannot be read."""
    gateway.client.credentials.start()
    fault = ""
    try:
        listed = [entry.id for entry in await gateway.directory.fetch()]
    except GatewayError as error:
        listed, fault = [], f"{error.message}{f' ({error.detail})' if error.detail else ''}"
    finally:
        await gateway.close()
    planner = gateway.executor.planner  # with what the lists tell of names
    names = {
        name: [" in ".join(filter(None, (each.model.raw, each.location_name))) for each in planner.as_named(name)]
        for name in (DEFAULT_ALIAS, *planner.names(), *sorted(planner.short_names))
    }
    if is_json:
        out.write(json.dumps({"names": names, "models": listed, "error": fault or None}).decode() + "\n")
    else:
        width = max(map(len, names))
        out.writelines(f"{name:<{width}}  {', '.join(targets)}\n" for name, targets in names.items())
        out.writelines(f"{model}\n" for model in listed)
        if fault:
            out.write(f"the models of the region cannot be listed: {fault}; see `outcrop check`\n")
    return 1 if fault else 0
