"""`outcrop serve`: validates the settings, listens, and serves in one or several processes."""

import asyncio
import logging
import math
import os
import socket
import sys
from functools import partial

import click

import app.cli.deferred_loading  # noqa: F401
from app.cli.options import address_options, config_option
from app.composition.database import check_database, log_other_pepper
from app.composition.deployment import models_without_price, planner_of, quotas_without_effect
from app.composition.governance import check_journal_folder
from app.composition.ingress import counted_callers
from app.config.environment import faults_end_the_start, load_settings
from app.config.misspelled import misspelled_settings
from app.config.settings import Settings
from app.main import create_app, without_fastapi
from app.observability.logs import configure_logging
from app.observability.terminal import is_for_people
from app.process.descriptors import allow_descriptors
from app.process.garbage import collect_less_often, uncollected
from app.process.memory import give_large_blocks_back
from app.process.signals import exit_normally_on_signals
from app.server.graceful_server import Config, PortTaken, Server
from app.server.listening import bind, reserve_port
from app.server.protocol import guarded
from app.server.worker_context import WorkerContext

_BACKLOG = 2048


@click.command("serve")
@address_options
@config_option
def command() -> None:
    """Serve HTTP until SIGTERM or Ctrl-C. `outcrop --help` lists the settings."""
    raise SystemExit(serve())


def serve() -> int:
    """Serve by the settings; returns the exit code."""
    with faults_end_the_start(), uncollected():
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        # so that an error is reported once, and not by each worker
        planner = planner_of(settings)
        if settings.database_url is not None:
            _, newest = asyncio.run(check_database(settings, migrate=settings.migrate_at_start))
            log_other_pepper(newest, settings.pepper())
            check_journal_folder(settings)
    try:
        address, family = (settings.host, settings.port), _family(settings.host)
        # each worker gets its own listener: from a shared one, one worker might accept all of a few connections
        listener = reserve_port(address, family) if settings.web_concurrency > 1 else bind(address, family)
    except OSError as error:
        return _cannot_listen(settings, error)
    host, port = listener.getsockname()[:2]
    few_descriptors = allow_descriptors(settings.max_in_flight // settings.web_concurrency)
    for warning in (*misspelled_settings(os.environ), *quotas_without_effect(settings, planner), *few_descriptors):
        logging.getLogger(__name__).warning(warning)
    for model in models_without_price(settings, planner):
        told = {"fields": {"model": model}}
        logging.getLogger(__name__).warning("no price is known of a model: its requests have no cost", extra=told)
    if settings.log_format == "auto" and is_for_people("auto"):
        sys.stderr.write(_banner(settings, host, port))
    else:
        logging.getLogger(__name__).info("listening", extra={"fields": {"address": host, "port": port}})
    give_large_blocks_back()
    serve_process = partial(_serve, settings)
    if settings.web_concurrency == 1:
        return serve_process(listener, WorkerContext())
    from app.server.workers import WorkerSupervisor  # most gateways are one process

    collect_less_often()
    listen = partial(bind, listener.getsockname(), listener.family, is_shared=True)
    callers = counted_callers(settings)
    return WorkerSupervisor(settings.web_concurrency, listen, settings.shutdown_grace, serve_process, callers).run()


def _serve(settings: Settings, listener: socket.socket, worker_context: WorkerContext) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    with faults_end_the_start(), uncollected():
        application = without_fastapi(create_app(settings, worker_context=worker_context))
    config = Config(
        application,
        ws="none",  # of uvicorn's own; the protocol loads what it needs
        http=guarded(settings.caller_timeout, settings.unread_timeout),
        ssl_certfile=settings.tls_certfile,
        ssl_keyfile=settings.tls_keyfile,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace),
        backlog=_BACKLOG,
    )
    server = Server(config, worker_context.all_end)
    exit_normally_on_signals(lambda: server.should_exit)
    collect_less_often()
    try:
        server.run(sockets=[listener])
    except PortTaken as error:
        return _cannot_listen(settings, error)
    return 0


def _banner(settings: Settings, host: str, port: int) -> str:
    address = f"[{host}]" if ":" in host else host
    url = f"{'https' if settings.tls_certfile else 'http'}://{address}:{port}"
    rows = {"URL": url, "model": settings.bedrock_model_id, "region": settings.aws_region, "docs": f"{url}/docs"}
    return "Outcrop\n" + "".join(f"  {name:<8}{value}\n" for name, value in rows.items())


def _cannot_listen(settings: Settings, error: OSError) -> int:
    code = error.errno or 0
    reason = os.strerror(code) if code > 0 else error.strerror
    sys.stderr.write(f"Outcrop cannot listen on HOST={settings.host} PORT={settings.port}: {reason}\n")
    return 1


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
