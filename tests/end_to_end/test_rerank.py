"""Rerank in Cohere's format, with both rerank models of Bedrock."""

from typing import Any

import httpx
import pytest

from app.wire import json
from tests.servers import KEY, gateway, http_reply, read_request, upstream

HEADERS = {"authorization": f"Bearer {KEY}"}
MODELS = ["cohere.rerank-v3-5:0", "amazon.rerank-v1:0"]
QUERY = "What is the capital of Switzerland?"
DOCUMENTS = ["Cheese has holes.", "Bern is the capital of Switzerland.", "Zurich is a city of Switzerland."]


def rerank(base: str, path: str = "/v1/rerank", **body: Any) -> httpx.Response:
    body = {"model": MODELS[0], "query": QUERY, "documents": DOCUMENTS, **body}
    return httpx.post(
        base + path, json={name: value for name, value in body.items() if value is not ...}, headers=HEADERS
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("version", ["1", "2"])
def test_results_are_ordered_by_relevance(gateway_url: str, records: Any, model: str, version: str) -> None:
    answer = rerank(gateway_url, f"/v{version}/rerank", model=model, top_n=2)
    document = answer.json()
    assert [each["index"] for each in document["results"]] == [1, 2]
    assert document["results"][0]["relevance_score"] > document["results"][1]["relevance_score"] > 0
    assert document["id"].startswith("rerank-")
    assert document["meta"] == {"api_version": {"version": version}, "billed_units": {"search_units": 1}}
    record = records.by_id(answer.headers["x-request-id"])
    assert (record.dialect, record.mode, record.target) == ("cohere_rerank", "native", model)


def test_all_documents_are_returned_with_their_texts(gateway_url: str) -> None:
    documents = [{"text": text} for text in DOCUMENTS] * 50
    answer = rerank(gateway_url, documents=documents, return_documents=True, max_chunks_per_doc=3)
    results = answer.json()["results"]
    assert sorted(each["index"] for each in results) == list(range(150))
    assert all(each["document"] == {"text": DOCUMENTS[each["index"] % 3]} for each in results)
    assert answer.json()["meta"]["billed_units"] == {"search_units": 2}
    assert answer.headers["x-outcrop-ignored"] == "max_chunks_per_doc"
    assert len(rerank(gateway_url, top_n=99).json()["results"]) == 3


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": "scripted.echo-v1:0"}, 400, "model: this model does not rerank: name one that does"),
        ({"model": ...}, 400, "model: Field required"),
        ({"model": "no.such-model"}, 400, "model: this model does not rerank: name one that does"),
        ({"query": ""}, 400, "query: String should have at least 1 character"),
        ({"documents": []}, 400, "documents: List should have at least 1 item after validation, not 0"),
        ({"documents": ["x"] * 1001}, 400, "documents: List should have at most 1000 items after validation, not 1001"),
        ({"documents": ["x", {"title": "y"}]}, 400, "documents[1].text: Field required"),
        ({"top_n": 0}, 400, "top_n: Input should be greater than or equal to 1"),
        (
            {"model": "cohere.rerank-v9:0"},
            404,
            "The provided model identifier is invalid. (GET /v1/models lists the text models that can be called)",
        ),
    ],
)
def test_errors_name_the_field_in_the_format_of_cohere(
    gateway_url: str, body: dict[str, Any], status: int, message: str
) -> None:
    answer = rerank(gateway_url, **body)
    assert (answer.status_code, answer.json()) == (status, {"message": message})


@pytest.mark.parametrize(
    "reply",
    [
        "[]",
        "{}",
        '{"results":5}',
        '{"results":{}}',
        '{"results":[{"index":0}]}',
        '{"results":[{"index":7,"relevance_score":1}]}',
        '{"results":[{"index":0.9,"relevance_score":1}]}',
        '{"results":[{"index":0,"relevance_score":"nan"}]}',
        '{"results":[{"index":0,"relevance_score":1' + "0" * 400 + "}]}",
        '{"results":[{"index":0,"relevance_score":1},{"index":0,"relevance_score":1}]}',
    ],
)
def test_malformed_response_returns_502(reply: str) -> None:
    async def answer(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(http_reply(reply.encode()))
        await writer.drain()

    with upstream(answer) as url, gateway(url) as base:
        failed = rerank(base)
    assert failed.status_code == 502
    assert failed.json().keys() == {"message"}


def test_unordered_results_are_sorted() -> None:
    async def answer(reader: Any, writer: Any) -> None:
        await read_request(reader)
        results = [{"index": index, "relevance_score": index / 10} for index in range(3)]
        writer.write(http_reply(json.dumps({"results": results})))
        await writer.drain()

    with upstream(answer) as url, gateway(url) as base:
        assert [each["index"] for each in rerank(base, top_n=2).json()["results"]] == [2, 1]
