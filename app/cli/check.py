"""`outcrop check`: tries each step of a call to Bedrock, then each model that the configuration names."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TextIO

import click
from msgspec.structs import replace

from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.cli.checks.connection import connection_steps, credentials_step
from app.cli.checks.identity import identity_steps
from app.cli.checks.models import ListedModels
from app.cli.checks.names import Named, misspelled_rows, named_targets, steps_of_names
from app.cli.checks.report import Report, Result
from app.cli.checks.step import Step, run_step
from app.cli.options import config_option
from app.composition.deployment import quotas_without_effect
from app.composition.gateway import Gateway, build_gateway
from app.config.environment import load_settings
from app.config.misspelled import misspelled_settings
from app.config.settings import Settings, SettingsError
from app.errors import GatewayError
from app.server.worker_context import WorkerContext

_CALLS_AT_ONCE = 4


@click.command("check")
@config_option
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document, for programs.")
def command(is_json: bool) -> None:
    """Try each step of a call to Bedrock, and each model that the configuration names. Exit code 1 if a step failed."""
    logging.disable()
    raise SystemExit(asyncio.run(run_check(is_json=is_json)))


async def run_check(out: TextIO = sys.stdout, *, is_json: bool = False) -> int:
    """Run and report every step; returns the exit code: 0 if none failed, 1 otherwise."""
    report = Report(out, is_json=is_json)
    try:
        settings = load_settings()
        gateway = build_gateway(settings, WorkerContext(), governs=False)
    except SettingsError as error:
        report.add(Result(step="settings", status="failed", notes=error.faults))
        return report.end()
    found = f"region {settings.aws_region}, model {settings.bedrock_model_id}"
    warnings = [*misspelled_settings(os.environ), *quotas_without_effect(settings, gateway.executor.planner)]
    report.add(Result(step="settings", status="ok", message=found, notes=warnings))
    async with _credentials_of(gateway):
        await _check(gateway, settings, report)
    return report.end()


@asynccontextmanager
async def _credentials_of(gateway: Gateway) -> AsyncIterator[None]:
    for client in gateway.clients.values():
        client.credentials.start()
    try:
        yield
    finally:
        await gateway.close()


async def _check(gateway: Gateway, settings: Settings, report: Report) -> None:
    """Report the database, the credentials of each location, then the connection, then the names."""
    if gateway.database is not None:
        # only deployments with a database load it
        from app.cli.checks.database import database_step

        report.add(await run_step(database_step(settings, gateway.database)))
    listed = ListedModels(gateway.clients, settings.aws_region, gateway.directory)
    for location, client in gateway.clients.items():
        if location.role or location == DEFAULT_LOCATION:
            report.add(await run_step(credentials_step(client.credentials, location.name)))
    for step in connection_steps(gateway, settings, listed):
        has_credentials = not gateway.client.credentials.problem
        report.add(await run_step(step) if has_credentials else _skipped(step, "needs credentials"))
    await _check_names(gateway, settings, listed, report)
    for step in identity_steps(gateway):
        report.add(await run_step(step))
    with suppress(GatewayError):  # the step that lists models has said it
        if warnings := await misspelled_rows(settings, listed):
            report.add(Result(step="limits, prices, quotas", status="ok", notes=warnings))


async def _check_names(gateway: Gateway, settings: Settings, listed: ListedModels, report: Report) -> None:
    """Report each name, a few at a time; names of one model share one call."""
    named = named_targets(gateway.executor.planner)
    permits = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def run(each: Named, step: Step) -> Result:
        if obstacle := _obstacle(gateway, each.choice.location):
            return _skipped(step, obstacle)
        async with permits:
            return await run_step(step)

    async with asyncio.TaskGroup() as group:
        calls: dict[tuple[str, UpstreamLocation], asyncio.Task[Result]] = {}
        steps = steps_of_names(gateway, settings, listed, named)
        for each, step in zip(named, steps, strict=True):
            key = each.choice.model, each.choice.location
            if key not in calls:
                calls[key] = group.create_task(run(each, step))
        for each, step in zip(named, steps, strict=True):
            result = await calls[each.choice.model, each.choice.location]
            report.add(replace(result, step=step.name, entry=step.entry))


def _obstacle(gateway: Gateway, location: UpstreamLocation) -> str:
    client = gateway.clients[location]
    if client.credentials.problem:
        return "needs credentials"
    # no other location has been contacted yet
    return "needs Bedrock" if location == DEFAULT_LOCATION and client.reachability.problem else ""


def _skipped(step: Step, reason: str) -> Result:
    return Result(step=step.name, status="skipped", message=reason, entry=step.entry)
