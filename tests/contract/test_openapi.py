"""The OpenAPI document is complete, and its examples succeed."""

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from app.main import create_app
from tests.servers import KEY, emulator_app, gateway, gateway_settings, serving

DOCUMENT: Any = create_app(gateway_settings("http://127.0.0.1:9")).openapi()
OPERATIONS = [
    (path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
PATHS = {
    "/v1/chat/completions": "post",
    "/v1/models": "get",
    "/v1/models/{model}": "get",
    "/v1/embeddings": "post",
    "/v1/responses": "post",
    "/v1/responses/compact": "post",
    "/v1/responses/{response_id}": "get",
    "/v1/responses/{response_id}/input_items": "get",
    "/v1/responses/{response_id}/cancel": "post",
    "/v1/responses/input_tokens": "post",
    "/v1/rerank": "post",
    "/v1/messages": "post",
    "/v1/messages/count_tokens": "post",
    "/model/{modelId}/converse": "post",
    "/model/{modelId}/converse-stream": "post",
    "/model/{modelId}/invoke": "post",
    "/model/{modelId}/invoke-with-response-stream": "post",
    "/model/{modelId}/count-tokens": "post",
    "/guardrail/{guardrailIdentifier}/version/{guardrailVersion}/apply": "post",
    "/guardrail-checks/invoke": "post",
    "/async-invoke": "get",
    "/async-invoke/{invocationArn}": "get",
    "/foundation-models": "get",
    "/foundation-models/{modelIdentifier}": "get",
    "/inference-profiles": "get",
    "/inference-profiles/{inferenceProfileIdentifier}": "get",
    "/health": "get",
    "/health/ready": "get",
    "/metrics": "get",
}


def test_document_is_valid() -> None:
    validate(DOCUMENT)


def test_document_has_exactly_the_endpoints() -> None:
    assert {path: next(iter(item)) for path, item in DOCUMENT["paths"].items()} == PATHS


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=[path for path, _, _ in OPERATIONS])
def test_operation_is_described(path: str, method: str, operation: Any) -> None:
    assert operation["summary"]
    assert operation["tags"]
    assert operation.get("description")
    success = operation["responses"]["200"]["content"]
    assert all("schema" in content for content in success.values())
    if method == "post" and not path.endswith("/cancel"):  # which has no body
        assert operation["requestBody"]["content"]["application/json"]["schema"]
    if "Operations" not in operation["tags"]:
        assert [next(iter(scheme)) for scheme in operation["security"]] == ["bearer", "x-api-key", "sigv4"]
        assert {"400", "401", "403", "413", "429", "500", "502", "504"} <= set(operation["responses"])
        assert {"503", "529"} & set(operation["responses"])
    for name in [part.strip("{}") for part in path.split("/") if part.startswith("{")]:
        assert any(parameter["name"] == name for parameter in operation["parameters"])


@pytest.mark.loopback
def test_examples_succeed_and_match_the_schemas() -> None:
    models = {"modelId": "scripted.echo-v1:0"}
    ran = 0
    with serving(emulator_app()) as url, gateway(url) as base:
        for path, method, operation in OPERATIONS:
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            examples = [each["value"] for each in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            for example in examples:
                answer = httpx.request(method, base + path.format(**models), json=example, headers={"x-api-key": KEY})
                assert answer.status_code == 200, answer.text
                if answer.headers["content-type"] == "application/json":
                    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
                    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer.json())
                ran += 1
    assert ran >= 6


@pytest.mark.loopback
def test_root_redirects_to_the_page() -> None:
    with gateway("http://127.0.0.1:9") as base:
        answer = httpx.get(base, follow_redirects=True, timeout=30)
        assert answer.url.path == "/docs"
        assert "swagger" in answer.text.lower()
        assert httpx.get(f"{base}/openapi.json", timeout=30).json()["info"]["title"] == "Outcrop"


async def test_the_document_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings, Low: each request without a key for the document took 2.45 ms of the event loop."""
    built = 0

    def document(*_: object) -> Any:
        nonlocal built
        built += 1
        return DOCUMENT

    monkeypatch.setattr("app.dialects.http.openapi.openapi_document", document)
    transport = httpx.ASGITransport(create_app(gateway_settings("http://127.0.0.1:9")))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answers = [await client.get("/openapi.json") for _ in range(3)]
    assert [answer.json() for answer in answers] == [DOCUMENT] * 3
    assert (built, answers[0].headers["content-type"]) == (1, "application/json")
