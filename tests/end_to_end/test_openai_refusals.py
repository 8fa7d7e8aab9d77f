"""Refusals of OpenAI's own surfaces, in OpenAI's words: the call is repeated without what the model refused."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.wire import json
from tests.servers import KEY, gateway, http_reply, read_request, upstream

GEMMA, GROK = "google.gemma-4-31b", "xai.grok-4.3"
USER: Any = {"role": "user", "content": "hi"}
COMPLETION: Any = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
RESPONSE: Any = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "m",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "ok", "annotations": []}],
        }
    ],
}
EFFORTS = ("minimal", "low", "medium", "high")


class Refusing:
    """An upstream that refuses sampling, some efforts and `novel` in OpenAI's words, and keeps every body."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[Any] = []

    async def handle(self, reader: Any, writer: Any) -> None:
        while True:
            head, body = await read_request(reader)
            path = head.split(b" ")[1].decode()
            reply = COMPLETION if path.endswith("/chat/completions") else RESPONSE
            if not path.endswith(("/chat/completions", "/responses")):
                writer.write(http_reply(b"{}", "404 Not Found"))
                continue
            self.bodies.append(json.loads(body))
            refusal = _refusal(self.bodies[-1])
            writer.write(http_reply(json.dumps(refusal or reply), "400 Bad Request" if refusal else "200 OK"))
            await writer.drain()

    def send(self, path: str, **body: Any) -> httpx.Response:
        self.bodies.clear()
        headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
        return httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=30)


def _refusal(body: Any) -> Any:
    effort = body.get("reasoning_effort") or body.get("reasoning", {}).get("effort")
    if "temperature" in body:
        words = "Unsupported parameter: 'temperature' is not supported with this model."
    elif "top_p" in body:
        words = (
            "Unsupported value: 'top_p' does not support 0.5 with this model. Only the default (1) value is supported."
        )
    elif "novel" in body:
        words = "Unsupported parameter: 'novel' is not supported with this model."
    elif effort and effort not in EFFORTS:
        name = "reasoning_effort" if "reasoning_effort" in body else "reasoning.effort"
        listed = "'minimal', 'low', 'medium', and 'high'"
        words = (
            f"Unsupported value: '{name}' does not support '{effort}' with this model. Supported values are: {listed}."
        )
    else:
        return None
    return {"error": {"message": words, "type": "invalid_request_error", "param": None, "code": "unsupported_value"}}


@pytest.fixture
def bedrock() -> Iterator[Refusing]:
    made = Refusing()
    with upstream(made.handle) as address, gateway(address) as made.url:
        yield made


@pytest.mark.parametrize(
    ("path", "model", "body"),
    [
        ("/v1/chat/completions", GEMMA, {"messages": [USER]}),
        ("/v1/responses", GROK, {"input": "hi", "store": False}),
        ("/v1/messages", GEMMA, {"messages": [USER], "max_tokens": 50}),
    ],
    ids=["native chat", "native responses", "translated"],
)
def test_refused_sampling_is_left_out(bedrock: Refusing, path: str, model: str, body: Any) -> None:
    """OpenHands/software-agent-sdk#1837, litellm#36970. On 965aba3 the caller got the 400."""
    for _ in range(2):
        # it may depend on the effort of the call, so it is not remembered
        answer = bedrock.send(path, model=model, temperature=0.3, **body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-outcrop-adjusted"] == "temperature"
        assert [sent.get("temperature") for sent in bedrock.bodies] == [0.3, None]
    answer = bedrock.send(path, model=model, top_p=0.5, **body)
    assert (answer.status_code, [sent.get("top_p") for sent in bedrock.bodies]) == (200, [0.5, None])


@pytest.mark.parametrize(
    ("path", "model", "body"),
    [
        ("/v1/chat/completions", GEMMA, {"messages": [USER], "reasoning_effort": "none"}),
        ("/v1/responses", GROK, {"input": "hi", "store": False, "reasoning": {"effort": "none"}}),
    ],
    ids=["chat", "responses"],
)
def test_accepted_efforts_are_remembered(bedrock: Refusing, path: str, model: str, body: Any) -> None:
    """Kilo-Org/cloud#3807."""
    for efforts in (["none", "minimal"], ["minimal"]):
        answer = bedrock.send(path, model=model, **body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-outcrop-adjusted"] == "reasoning_effort"
        sent = [each.get("reasoning_effort") or each["reasoning"]["effort"] for each in bedrock.bodies]
        assert sent == efforts


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_a_refusal_that_reveals_nothing_is_not_repeated(bedrock: Refusing, path: str) -> None:
    body = {"input": "hi", "store": False} if path == "/v1/responses" else {"messages": [USER]}
    answer = bedrock.send(path, model=GEMMA, novel=1, **body)
    assert (answer.status_code, len(bedrock.bodies)) == (400, 1)
    assert "'novel' is not supported" in answer.json()["error"]["message"]
