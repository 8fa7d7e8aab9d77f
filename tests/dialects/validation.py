"""Validates the golden cases of all dialects by botocore's validator, for every family of models."""

from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from app.adaptation import adapt
from app.converse.call import ModelCall
from app.errors import InvalidRequest
from app.models.capabilities import Capabilities
from app.models.families import FAMILIES
from tests.adaptation.selection import assert_selection_equals_all_passes

SHAPE = Session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
CAPABILITIES = [Capabilities(), *(Capabilities(family=row.family).with_values(row.values) for row in FAMILIES)]


def assert_adapted_for_every_family(call_of: Callable[[], ModelCall]) -> None:
    """Check that adapting a call twice gives the same valid body and does not change the call, for each family."""
    uses_tools = _uses_tools(call_of())
    for capabilities in CAPABILITIES:
        if capabilities.tools.accepted or not uses_tools:
            _assert_adapted(call_of(), call_of(), capabilities)


def _uses_tools(call: ModelCall) -> bool:
    calls = any("toolUse" in block for message in call.converse["messages"] for block in message["content"])
    return calls or "toolConfig" in call.converse


def _assert_adapted(call: ModelCall, again: ModelCall, capabilities: Capabilities) -> None:
    if capabilities.sampling.max_stop_sequences == 0 and "stopSequences" in call.converse.get("inferenceConfig", {}):
        with pytest.raises(InvalidRequest, match="no stop sequences"):
            adapt(call, capabilities)
        return
    first = adapt(call, capabilities)
    second = adapt(call, capabilities)
    assert first.body == second.body, capabilities.family
    assert_selection_equals_all_passes(call, capabilities)
    assert call == again, capabilities.family
    report = ParamValidator().validate({**with_bytes(first.body), "modelId": "a.b"}, SHAPE)
    assert not report.has_errors(), f"{capabilities.family}: {report.generate_report()}"


def with_bytes(value: Any) -> Any:
    """Return a value with blobs as bytes, as botocore's validator requires."""
    if isinstance(value, list):
        return [with_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: b64decode(item) if key in ("bytes", "redactedContent") and isinstance(item, str) else with_bytes(item)
        for key, item in value.items()
    }


def described(call: ModelCall) -> Any:
    """Return a call as the golden file of its case has it."""
    intent = {name: getattr(call.intent, name) for name in call.intent.__slots__ if getattr(call.intent, name)}
    return {"converse": call.converse, "intent": intent, "ignored": call.ignored}
