"""Embedding models."""

from typing import Any

import pytest

from tests.emulator.calls import post

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("amazon.titan-embed-text-v2:0", {"inputText": "a", "dimensions": 7}),
        ("amazon.titan-embed-text-v2:0", {"inputText": ""}),
        ("amazon.titan-embed-text-v1", [1]),
        ("cohere.embed-v4:0", {"texts": ["a"], "input_type": "x", "output_dimension": 2**70}),
        ("cohere.embed-v4:0", {"texts": ["a"]}),
        ("cohere.embed-english-v3", {"texts": [1], "input_type": "x"}),
        ("amazon.nova-2-multimodal-embeddings-v1:0", {"singleEmbeddingParams": "a"}),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            {"singleEmbeddingParams": {"text": {"value": "x"}, "embeddingDimension": 2**70}},
        ),
    ],
)
def test_values_out_of_bounds_are_refused(url: str, model: str, body: Any) -> None:
    assert post(url, f"/model/{model}/invoke", body).status_code == 400


@pytest.mark.parametrize(
    ("model", "body", "vector"),
    [
        ("amazon.titan-embed-text-v1", {"inputText": "a"}, lambda got: got["embedding"]),
        (
            "amazon.titan-embed-text-v2:0",
            {"inputText": "a", "dimensions": 256},
            lambda got: got["embeddingsByType"]["float"],
        ),
        (
            "cohere.embed-english-v3",
            {"texts": ["a", "b"], "input_type": "search_query"},
            lambda got: got["embeddings"][0],
        ),
        (
            "cohere.embed-v4:0",
            {"texts": ["a"], "input_type": "search_query", "output_dimension": 512},
            lambda got: got["embeddings"]["float"][0],
        ),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            {"singleEmbeddingParams": {"text": {"value": "a"}}},
            lambda got: got["embeddings"][0]["embedding"],
        ),
    ],
)
def test_a_vector_has_unit_length_and_is_reproducible(url: str, model: str, body: Any, vector: Any) -> None:
    answer = post(url, f"/model/{model}/invoke", body)
    values = vector(answer.json())
    assert sum(value * value for value in values) == pytest.approx(1)
    assert len(values) in (256, 512, 1024, 1536, 3072)
    assert int(answer.headers["x-amzn-bedrock-input-token-count"]) > 0
    assert post(url, f"/model/{model}/invoke", body).json() == answer.json()
    with_stream = post(url, f"/model/{model}/invoke-with-response-stream", body)
    assert with_stream.status_code == 400
