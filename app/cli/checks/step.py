"""Runs one step of a check, and finds a remedy if it fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from msgspec import Struct

from app.cli.checks.report import Result, Status
from app.errors import GatewayError
from app.execution.request_context import RequestContext
from app.governance.identity.caller import ANONYMOUS
from app.observability.observer import RequestRecord
from app.process.deadline import Deadline
from app.server.request_head import RequestHead
from app.wire import json

STEP_SECONDS = 60.0
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


class NotTried(Exception):
    """A step cannot be tried; the message says why. It counts as no failure."""


class StepFailed(Exception):
    """A step failed for a reason of its own. remedy: instead of the step's, if it is set."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class Step(Struct, frozen=True, kw_only=True):
    """One step.

    run: returns what was found; raises a GatewayError that says what is wrong, or NotTried.
    remedy: what to do if it fails. is_remedy_final: it holds whatever the error is.
    entry: where the configuration names what is tried.
    """

    name: str
    run: Callable[[], Awaitable[str]]
    remedy: str
    is_remedy_final: bool = False
    entry: str = ""


async def run_step(step: Step) -> Result:
    """Run a step within a minute."""
    started = time.monotonic()
    remedy = step.remedy
    status: Status = "failed"
    try:
        async with asyncio.timeout(STEP_SECONDS):
            message = await step.run()
        status, remedy = "ok", ""
    except NotTried as reason:
        status, message, remedy = "skipped", str(reason), ""
    except StepFailed as failure:
        message, remedy = str(failure), failure.remedy or remedy
    except GatewayError as error:
        message = f"{error.message}{f' ({error.detail})' if error.detail else ''}"
        if not step.is_remedy_final:
            remedy = _REMEDIES.get(error.kind, remedy)
    except TimeoutError:
        message = f"took longer than {STEP_SECONDS:.0f} s"
    except (json.JsonError, LookupError, TypeError) as error:
        message = f"the response cannot be read ({type(error).__name__})"
    ms = round((time.monotonic() - started) * 1000, 1)
    return Result(step=step.name, status=status, ms=ms, message=message, remedy=remedy, entry=step.entry)


def new_context() -> RequestContext:
    """Return the context of a request that a step makes."""
    record = RequestRecord(request_id="check", method="POST")
    return RequestContext(RequestHead("POST", "/", "", {}), {}, b"", ANONYMOUS, Deadline.after(STEP_SECONDS), record)
