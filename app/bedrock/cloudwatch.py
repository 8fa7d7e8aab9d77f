"""Reads from CloudWatch what Bedrock counted against a quota: the metric EstimatedTPMQuotaUsage.

It is written for successful calls, once a minute and some minutes late. Sources: AWS announcement of March 2026, and
botocore's service model of CloudWatch, which has the JSON protocol (1.44.8).
"""

from __future__ import annotations

from msgspec import Struct

from app.bedrock.client import BedrockClient, BedrockRequest
from app.process.deadline import Deadline
from app.wire import json

_TARGET = "GraniteServiceVersion20100801.GetMetricStatistics"
_TIMEOUT_SECONDS = 30.0
_MINUTE = 60


class _Datapoint(Struct):
    Sum: float = 0.0


class _Statistics(Struct):
    Datapoints: list[_Datapoint] = []


async def read_quota_usage(client: BedrockClient, model: str, start: int, end: int) -> float:
    """Return the tokens of the quota that calls of a model took, in the account and region of a client.

    Args:
        client: has the endpoint `monitoring`. model: as it is called. start, end: whole minutes, in seconds since 1970.

    Raises:
        GatewayError: CloudWatch cannot be read. JsonError: its answer is malformed.
    """
    members = {
        "Namespace": "AWS/Bedrock",
        "MetricName": "EstimatedTPMQuotaUsage",
        "Dimensions": [{"Name": "ModelId", "Value": model}],
        "StartTime": start,
        "EndTime": end,
        "Period": _MINUTE,
        "Statistics": ["Sum"],
    }
    headers = (("content-type", "application/x-amz-json-1.0"), ("x-amz-target", _TARGET))
    request = BedrockRequest("monitoring", "POST", "/", headers=headers, body=json.dumps(members))
    body = await client.run(request, Deadline.after(_TIMEOUT_SECONDS), lambda response, _: response.read())
    return sum(point.Sum for point in json.loads_as(body, _Statistics).Datapoints)
