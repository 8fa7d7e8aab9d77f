"""CountTokens."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.calls import ANTHROPIC_BODY, CLAUDE, invoke

pytestmark = pytest.mark.loopback


def test_the_count_equals_the_usage_and_needs_a_base_id(bedrock: Any, url: str) -> None:
    body = json.dumps(ANTHROPIC_BODY).encode()
    base = "anthropic.claude-sonnet-4-20250514-v1:0"
    counted = bedrock.count_tokens(modelId=base, input={"invokeModel": {"body": body}})["inputTokens"]
    assert counted == invoke(bedrock, base)["usage"]["input_tokens"]
    with pytest.raises(ClientError, match="doesn't support counting tokens"):
        bedrock.count_tokens(modelId=CLAUDE, input={"invokeModel": {"body": body}})
