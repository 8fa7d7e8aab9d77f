"""Applies the policy of a caller to its own requests to Bedrock, which otherwise pass byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from app.converse.call import Surface
from app.dialects.bedrock.async_invokes import READS, only_of_team, with_team
from app.dialects.bedrock.operations import AwsOperation
from app.dialects.http.responses import CompleteResponse
from app.errors import InvalidRequest
from app.execution.executor import Executor
from app.execution.policy_targets import allows_model, check_model
from app.execution.request_context import RequestContext
from app.governance.identity.caller import Policy
from app.governance.strict_document import parse_strict_object
from app.models.output_lengths import lengths_in, names_of_length
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.planner import Planner, Target
from app.wire import json
from app.wire.json import JsonObject

T = TypeVar("T")

# operations that name a model, but not as `modelId` in their path
_IN_PATH = {"GetFoundationModel": "modelIdentifier", "GetInferenceProfile": "inferenceProfileIdentifier"}
_IN_BODY = "StartAsyncInvoke"
# where the lists of the control plane have their rows, and a row the name of its model
_LISTS = {
    "ListFoundationModels": ("modelSummaries", "modelId"),
    "ListInferenceProfiles": ("inferenceProfileSummaries", "inferenceProfileId"),
}
_FIELDS = "additionalModelRequestFields"


async def apply_policy(
    operation: AwsOperation, executor: Executor, context: RequestContext, policy: Policy, name: str
) -> list[str]:
    """Check the model and the lengths of a request; the default length may be filled in. Returns what was changed.

    The token of StartAsyncInvoke gets the team of the caller.

    Args:
        name: of the model in the path.

    Raises:
        PermissionRefused: the policy does not allow the model. InvalidRequest: a length exceeds what it allows, is no
            length, or is missing, or the body could be read in two ways.
    """
    named = context.params.get(_IN_PATH.get(operation.name, ""), "")
    if operation.name == _IN_BODY:
        document = await _run(context, partial(parse_strict_object, context.body))
        model = document.get("modelId")
        named = model if isinstance(model, str) else ""
        context.body = await _run(context, partial(with_team, document, policy.team_id))
    if named or operation.name == _IN_BODY:
        check_model(policy, named, _targets(executor.planner, named))
    if not (operation.surface and name and (policy.largest_max_tokens or policy.default_max_tokens)):
        return []
    if operation.surface is Surface.CONVERSE:
        body = await _run(context, partial(_with_length, context.body, policy))
        is_filled_in = body is not context.body
        context.body = body
        return ["max_tokens"] if is_filled_in else []
    models = [each.model_behind.base for each in _targets(executor.planner, name) if each.capabilities.makes_text]
    await _run(context, partial(_check_invoke, context.body, policy, models))
    return []


def without_forbidden(
    operation: AwsOperation, planner: Planner, policy: Policy, response: CompleteResponse
) -> CompleteResponse:
    """Return a response without what a policy does not allow: models, and asynchronous calls of other teams.

    Raises:
        NotFound: that is all of the response.
    """
    if operation.name in READS and response.status == 200:
        return only_of_team(operation.name, policy.team_id, response)
    if not policy.models or operation.name not in _LISTS or response.status != 200:
        return response
    member, named_by = _LISTS[operation.name]
    document = json.loads(response.body)
    kept = [
        row for row in document.get(member, ()) if allows_model(policy, row[named_by], _targets(planner, row[named_by]))
    ]
    return CompleteResponse(response.status, response.headers, json.dumps({**document, member: kept}))


async def _run(context: RequestContext, work: Callable[[], T]) -> T:
    return work() if context.size <= MAX_LOOP_BYTES else await off_loop(context.caller.name, context.size, work)


def _with_length(body: bytes, policy: Policy) -> bytes:
    """Return a body of Converse with a length, which is the policy's default if it names none.

    Raises:
        InvalidRequest: see `apply_policy`.
    """
    document = parse_strict_object(body)
    config, fields = document.get("inferenceConfig"), document.get(_FIELDS)
    _check_lengths({"inferenceConfig": config}, policy.largest_max_tokens)
    if isinstance(fields, dict):
        _check_lengths(fields, policy.largest_max_tokens, f"{_FIELDS}.")
    if not isinstance(config, dict | None) or (config and config.get("maxTokens") is not None):
        return body
    lengths = [each for each in (policy.default_max_tokens, policy.largest_max_tokens) if each]
    return json.dumps({**document, "inferenceConfig": {**(config or {}), "maxTokens": min(lengths)}})


def _check_invoke(body: bytes, policy: Policy, models: Iterable[str]) -> None:
    """Check the lengths in a body of InvokeModel. Raises InvalidRequest: see `apply_policy`.

    Args:
        models: base ids of those that make text. Each must read a length that the body has.
    """
    document, largest = parse_strict_object(body), policy.largest_max_tokens
    _check_lengths(document, largest)
    for model in models if largest else ():
        read = names_of_length(model)
        if not any(name in read for name in lengths_in(document)):
            name = "max_tokens" if "max_tokens" in read else min(read)
            raise InvalidRequest(
                f"{name}: must be set, because this API key allows {largest} tokens at most", param=name
            )


def _check_lengths(body: JsonObject, largest: int | None, prefix: str = "") -> None:
    """Raise InvalidRequest if a body names a length that is none, or is larger than a policy allows."""
    for path, length in lengths_in(body).items():
        if type(length) is not int or length < 1:
            raise InvalidRequest(f"{prefix}{path}: must be an integer of at least 1", param=f"{prefix}{path}")
        if largest is not None and length > largest:
            raise InvalidRequest(
                f"{prefix}{path}: this API key allows {largest} tokens at most", param=f"{prefix}{path}"
            )


def _targets(planner: Planner, name: str) -> list[Target]:
    return planner.as_named(name) if planner.knows(name) else []
