"""`outcrop check`: tries each step of a call to Bedrock, and prints its time, or a remedy if it fails."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TextIO

import click

from app.adaptation.embeddings import EmbeddingCall
from app.bedrock.credentials import BearerToken
from app.cli.options import config_option
from app.composition.gateway import Gateway, build_gateway
from app.config.environment import load_settings
from app.config.misspelled import misspelled_settings
from app.config.settings import Settings, SettingsError
from app.converse.call import ModelCall
from app.converse.reply import Reply
from app.converse.request import ConverseRequest
from app.errors import GatewayError
from app.execution.embeddings import embed
from app.execution.operations.converse import ConverseOperation
from app.execution.request_context import RequestContext
from app.governance.identity.caller import ANONYMOUS
from app.observability.observer import RequestRecord
from app.process.deadline import Deadline
from app.routing.planner import Target
from app.server.request_head import RequestHead
from app.server.worker_context import WorkerContext
from app.wire import json

_STEP_SECONDS = 60.0
# remedies by the kind of error; of other kinds, the step names the remedy
_REMEDIES = {
    "connect_timeout": "check the network: HTTPS_PROXY, NO_PROXY, security groups, VPC endpoints",
    "credentials_missing": "give the gateway a role, a profile, keys, or a Bedrock API key",
    "identity_refused": "check the keys, the end of their session, and this machine's clock; or the Bedrock API key",
    "model_not_found": "name a model or an inference profile of this region: "
    "aws bedrock list-foundation-models, aws bedrock list-inference-profiles",
    "overloaded": "Bedrock has no capacity now: try again",
    "quota_exceeded": "Bedrock throttles this account: check its quotas in the console",
    "rate_limited": "Bedrock throttles this account: try again, or check its quotas in the console",
    "upstream_failed": "the server is not Bedrock, or it has failed: check the endpoint's URL, and proxies",
    "upstream_unreachable": "check the network: DNS, HTTPS_PROXY, NO_PROXY; for TLS, AWS_CA_BUNDLE",
}

Step = Callable[[], Awaitable[str]]


@click.command("check")
@config_option
def command() -> None:
    """Try each step of a call to Bedrock, and say what fails. Exit code 1 if a step failed."""
    logging.disable()
    raise SystemExit(asyncio.run(run_check()))


async def run_check(out: TextIO = sys.stdout) -> int:
    """Run and print every step; returns the exit code: 0 if all succeeded, 1 otherwise."""
    started = time.monotonic()
    try:
        settings = load_settings()
        gateway = build_gateway(settings, WorkerContext())
    except SettingsError as error:
        _report(out, "settings", started, False, "")
        for fault in error.faults:
            out.write(f"      {fault}\n")
        return 1
    _report(out, "settings", started, True, f"region {settings.aws_region}, model {settings.bedrock_model_id}")
    for warning in misspelled_settings(os.environ):
        out.write(f"      {warning}\n")
    for client in gateway.clients.values():
        client.credentials.start()
    try:
        return await _run_steps(gateway, settings, out)
    finally:
        await gateway.close()


async def _run_steps(gateway: Gateway, settings: Settings, out: TextIO) -> int:
    steps: list[tuple[str, Step, str]] = [
        (
            "credentials",
            lambda: _resolve(gateway),
            "set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK, "
            "or run where a role is attached",
        ),
        (
            "list models",
            lambda: _list(gateway),
            "the identity needs bedrock:ListFoundationModels and bedrock:ListInferenceProfiles, and the network "
            f"must reach {gateway.client.endpoints['bedrock'].origin}",
        ),
        (
            "one-token call",
            lambda: _call(gateway),
            f"the identity needs bedrock:InvokeModel on {settings.bedrock_model_id}, the account needs access to it in "
            f"{settings.aws_region}, and the network must reach {gateway.client.endpoints['bedrock-runtime'].origin}; "
            "check the targets of a route called default, and GUARDRAIL_ID; a target's role needs sts:AssumeRole",
        ),
    ]
    if embedding_model := settings.embedding_model_id:
        remedy = f"EMBEDDING_MODEL_ID={embedding_model} must make embeddings, and the identity be allowed to call it"
        steps.append(("embedding", lambda: _embed(gateway, embedding_model), remedy))
    failures = 0
    for name, step, remedy in steps:
        if gateway.client.credentials.problem and name != "credentials":
            out.write(f"skip  {name:<15} needs credentials\n")
            continue
        started = time.monotonic()
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                _report(out, name, started, True, await step())
            continue
        except GatewayError as error:
            message = f"{error.message}{f' ({error.detail})' if error.detail else ''}"
            if name != "credentials":
                remedy = _REMEDIES.get(error.kind, remedy)  # noqa: PLW2901
        except TimeoutError:
            message = f"took longer than {_STEP_SECONDS:.0f} s"
        except (json.JsonError, LookupError, TypeError) as error:
            message = f"the response cannot be read ({type(error).__name__})"
        failures += 1
        _report(out, name, started, False, message)
        out.write(f"      remedy: {remedy}\n")
    return 1 if failures else 0


async def _resolve(gateway: Gateway) -> str:
    identity = await gateway.client.credentials.get()
    if isinstance(identity, BearerToken):
        return "a Bedrock API key"
    return f"access key {identity.access_key[:4]}…{identity.access_key[-4:]}"


async def _list(gateway: Gateway) -> str:
    return f"{len(await gateway.directory.fetch())} models and profiles can be called"


async def _call(gateway: Gateway) -> str:
    """Call the default model, by its route and with the guardrail."""
    body: ConverseRequest = {
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "inferenceConfig": {"maxTokens": 1},
    }
    context = _context()
    call = ModelCall("", body)

    def operation_for(target: Target) -> ConverseOperation[Reply]:
        return ConverseOperation.of(call, target, lambda reply: reply)

    reply = await gateway.executor.run(context, call.model, operation_for)
    tokens = reply["usage"]["totalTokens"]
    failed = [f"{each.target}: {each.error}" for each in context.record.tries if each.error]
    before = f"; before it {', '.join(failed)}" if failed else ""
    return f"{context.record.target}: {tokens} tokens, stop reason {reply['stopReason']}{before}"


async def _embed(gateway: Gateway, model: str) -> str:
    (vector,) = await embed(gateway.executor, _context(), EmbeddingCall(model, ["Hi"]))
    return f"{model}: {len(vector)} dimensions"


def _context() -> RequestContext:
    record = RequestRecord(request_id="check", method="POST")
    return RequestContext(RequestHead("POST", "/", "", {}), {}, b"", ANONYMOUS, Deadline.after(_STEP_SECONDS), record)


def _report(out: TextIO, name: str, started: float, succeeded: bool, message: str) -> None:
    milliseconds = (time.monotonic() - started) * 1000
    out.write(f"{'ok  ' if succeeded else 'FAIL'}  {name:<15} {milliseconds:7.0f} ms  {message}\n")
    out.flush()
