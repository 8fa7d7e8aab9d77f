"""The gateway in front of ministack's Bedrock, an independent implementation with canned responses.

ministack 1.5.33 has no CountTokens, validates no request and buffers its streams. So these tests show only that it can
read requests of the gateway, and that the gateway can read its replies and frames.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.end_to_end.conftest import boto_client
from tests.servers import KEY, free_port, gateway

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[2] / ".venv-ministack" / "bin" / "ministack"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert PROGRAM.exists(), "run_tests.sh installs ministack into .venv-ministack"
    port = free_port()
    home = str(tmp_path_factory.mktemp("ministack"))
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "TMPDIR": home,
        "HOME": home,
        "SERVICES": "bedrock,bedrock-runtime,sts",
    }
    process = subprocess.Popen(
        [str(PROGRAM)],
        env={"PATH": os.environ["PATH"], **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/_ministack/health")
                break
            time.sleep(0.05)
        with gateway(url) as made:
            yield made
    finally:
        process.terminate()
        process.wait(60)


def test_chat_and_converse_agree(base: str) -> None:
    with boto_client(base) as bedrock, openai.OpenAI(base_url=f"{base}/v1", api_key=KEY) as client:
        reply = bedrock.converse(modelId=MODEL, messages=[{"role": "user", "content": [{"text": "hi"}]}])
        completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert completion.choices[0].message.content == reply["output"]["message"]["content"][0]["text"]
    assert completion.usage is not None
    assert completion.usage.completion_tokens == reply["usage"]["outputTokens"]
    assert "ministack mock" in (completion.choices[0].message.content or "")


def test_streams_of_ministack_are_read(base: str) -> None:
    with boto_client(base) as bedrock, openai.OpenAI(base_url=f"{base}/v1", api_key=KEY) as client:
        complete = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
        request: Any = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
        chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
        with contextlib.closing(
            bedrock.converse_stream(modelId=MODEL, messages=[{"role": "user", "content": [{"text": "hi"}]}])["stream"]
        ) as events:
            kinds = [next(iter(event)) for event in events]
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == complete.choices[0].message.content
    )
    assert chunks[-1].usage == complete.usage
    assert (kinds[0], kinds[-1]) == ("messageStart", "metadata")


def test_model_lists_and_invocations_of_ministack_are_returned(base: str) -> None:
    body = b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
    with boto_client(base) as bedrock, boto_client(base, "bedrock") as control:
        assert b"ministack mock" in bedrock.invoke_model(modelId=MODEL, body=body)["body"].read()
        with contextlib.closing(bedrock.invoke_model_with_response_stream(modelId=MODEL, body=body)["body"]) as stream:
            assert len(list(stream)) > 3
        assert control.get_foundation_model(modelIdentifier=MODEL)["modelDetails"]["modelName"] == "Claude 3 Haiku"
        assert len(control.list_inference_profiles()["inferenceProfileSummaries"]) > 10
    with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY) as client:
        assert MODEL in [model.id for model in client.models.list()]
