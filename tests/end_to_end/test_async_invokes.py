"""Asynchronous calls of several teams through one gateway, which Bedrock keeps for one account."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from botocore.exceptions import ClientError

from app.wire import json
from tests.end_to_end.conftest import boto_client
from tests.keys import PEPPER, new_key
from tests.servers import KEY, KEY_NAME, gateway, http_reply, read_request, upstream

pytestmark = pytest.mark.database

MODEL = "amazon.nova-reel-v1:0"
OUTPUT: Any = {"s3OutputDataConfig": {"s3Uri": "s3://bucket"}}


@contextlib.contextmanager
def bedrock() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Keep asynchronous calls as Bedrock does; yield its URL and the calls."""
    calls: list[dict[str, Any]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await read_request(reader)
        method, target = head.split(b" ")[:2]
        arn = unquote(target.decode()).removeprefix("/async-invoke").lstrip("/").partition("?")[0]
        if method == b"POST":
            token = json.loads(body)["clientRequestToken"]
            arn = f"arn:aws:bedrock:us-east-1:123456789012:async-invoke/{len(calls)}"
            calls.append({
                "invocationArn": arn, "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}",
                "clientRequestToken": token, "status": "Completed", "submitTime": "2026-11-30T12:00:00Z",
                "outputDataConfig": OUTPUT,
            })  # fmt: skip
            answer: Any = {"invocationArn": arn}
        elif arn:
            answer = next(each for each in calls if each["invocationArn"] == arn)
        else:
            answer = {"asyncInvokeSummaries": calls, "nextToken": "more"}
        writer.write(http_reply(json.dumps(answer)))
        await writer.drain()

    with upstream(handle) as url:
        yield url, calls


def test_a_team_sees_only_the_asynchronous_calls_that_it_has_started(tmp_path: Path) -> None:
    settings: Any = {"database_url": f"sqlite:///{tmp_path}/outcrop.db", "key_pepper": PEPPER}
    first, second = new_key(settings["database_url"]), new_key(settings["database_url"])
    with bedrock() as (behind, calls), gateway(behind, **settings) as url, contextlib.ExitStack() as stack:
        one, other = (
            stack.enter_context(boto_client(url, name=key.id, secret=secret)) for secret, key in (first, second)
        )
        of_environment = stack.enter_context(boto_client(url, name=KEY_NAME, secret=KEY))

        def start(client: Any, **more: Any) -> str:
            return str(
                client.start_async_invoke(modelId=MODEL, modelInput={}, outputDataConfig=OUTPUT, **more)[
                    "invocationArn"
                ]
            )

        def listed(client: Any) -> list[str]:
            found = client.list_async_invokes()
            assert found["nextToken"] == "more"
            return [each["invocationArn"] for each in found["asyncInvokeSummaries"]]

        of_one, of_other = start(one, clientRequestToken="mine"), start(other)
        of_all = start(of_environment)
        # the token of another team is not that team's
        forged = start(other, clientRequestToken=f"{first[1].team_id}/mine")
        assert [each["clientRequestToken"].partition("/")[0] for each in (calls[0], calls[1], calls[3])] == [
            first[1].team_id, second[1].team_id, second[1].team_id,
        ]  # fmt: skip
        assert (listed(one), listed(other)) == ([of_one], [of_other, forged])
        assert listed(of_environment) == [of_one, of_other, of_all, forged]
        mine = one.get_async_invoke(invocationArn=of_one)
        assert (mine["clientRequestToken"], mine["outputDataConfig"]) == ("mine", OUTPUT)
        for client, hidden in ((one, of_other), (other, of_one), (one, of_all), (one, forged)):
            with pytest.raises(ClientError) as caught:
                client.get_async_invoke(invocationArn=hidden)
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        assert of_environment.get_async_invoke(invocationArn=of_other)["status"] == "Completed"


@pytest.mark.parametrize("token", ["", "x" * 256, 7])
def test_a_token_that_leaves_no_room_for_the_team_is_refused(tmp_path: Path, token: Any) -> None:
    settings: Any = {"database_url": f"sqlite:///{tmp_path}/outcrop.db", "key_pepper": PEPPER}
    secret, _ = new_key(settings["database_url"])
    with bedrock() as (behind, calls), gateway(behind, **settings) as url:
        body = {"modelId": MODEL, "modelInput": {}, "clientRequestToken": token}
        answer = httpx.post(f"{url}/async-invoke", json=body, headers={"authorization": f"Bearer {secret}"})
        assert (answer.status_code, calls) == (400, [])
        assert "clientRequestToken: must be a string of 1 to" in answer.text
        del body["clientRequestToken"]
        answer = httpx.post(f"{url}/async-invoke", json=body, headers={"authorization": f"Bearer {secret}"})
        assert (answer.status_code, len(calls)) == (200, 1)
