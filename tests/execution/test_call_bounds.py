"""The bounds of a call, from the body that is sent."""

from typing import Any

import pytest
from msgspec.structs import replace

from app.bedrock.client import BedrockRequest
from app.execution.call_bounds import bounds_of, quick_bounds_of
from app.execution.operations.converse import ConverseOperation
from app.execution.operations.passthrough import PassthroughOperation
from app.governance.holds.bounds import CallBounds
from app.routing.planner import Planner, Target
from app.wire import json
from tests.execution.test_executor import as_it_is
from tests.execution.test_governed_attempt import CALL

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
LONGEST = 64_000
TURNS = {"messages": [{"role": "user", "content": "x"}]}


def target_of(model: str) -> Target:
    (target,) = Planner("z.z").as_named(model)
    return target


async def bounds(body: Any, model: str = CLAUDE) -> CallBounds:
    """Of a caller's own body."""
    sent = body if isinstance(body, bytes) else json.dumps(body)
    request = BedrockRequest("bedrock-runtime", "POST", f"/model/{model}/invoke", body=sent)
    operation: PassthroughOperation = PassthroughOperation(surface="invoke", request=request)  # type: ignore[arg-type]
    target = target_of(model)
    assert quick_bounds_of(operation, sent, target, reads=True) is None
    return await bounds_of(operation, sent, target, "c")


@pytest.mark.parametrize("length", [-1_000_000, -(10**30), -1, 0, True, False, 1.5, 9.0, "9", [], {}, LONGEST + 1])
async def test_what_is_no_length_does_not_lower_the_bound(length: Any) -> None:
    assert (await bounds({**TURNS, "max_tokens": length})).output == LONGEST
    assert (await bounds({**TURNS, "max_tokens": length, "max_tokens_to_sample": 5})).output == LONGEST
    adapted = replace(ConverseOperation.of(CALL, target_of(CLAUDE), as_it_is), max_tokens=length)
    quick = quick_bounds_of(adapted, b"{}", target_of(CLAUDE), reads=True)
    assert quick is not None
    assert quick.output == LONGEST


async def test_the_largest_length_counts() -> None:
    assert (await bounds({**TURNS, "max_tokens": 7})).output == 7
    assert (await bounds({**TURNS, "max_tokens": 7, "max_tokens_to_sample": 9})).output == 9
