"""Bodies and responses of each embedding family, as recorded."""

from typing import Any

import pytest

from app import errors
from app.adaptation.embeddings import EmbeddingCall, adapt_embeddings, vectors_of
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id


def bodies(model: str, *texts: str, **wishes: Any) -> Any:
    return adapt_embeddings(EmbeddingCall(model, list(texts), **wishes), capabilities_of(parse_model_id(model)))


@pytest.mark.parametrize(
    ("model", "wishes", "body"),
    [
        ("amazon.titan-embed-text-v1", {"dimensions": 1536}, {"inputText": "x"}),
        ("amazon.titan-embed-text-v2:0", {}, {"inputText": "x"}),
        ("amazon.titan-embed-text-v2:0", {"dimensions": 256}, {"inputText": "x", "dimensions": 256}),
        (
            "cohere.embed-english-v3",
            {},
            {"texts": ["x"], "input_type": "search_document", "truncate": "NONE"},
        ),
        (
            "us.cohere.embed-v4:0",
            {"dimensions": 512, "purpose": "search_query"},
            {"texts": ["x"], "input_type": "search_query", "truncate": "NONE", "output_dimension": 512},
        ),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            {"dimensions": 384, "purpose": "search_query"},
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_RETRIEVAL",
                    "text": {"value": "x", "truncationMode": "NONE"},
                    "embeddingDimension": 384,
                },
            },
        ),
    ],
)
def test_bodies_have_each_family_s_shape(model: str, wishes: Any, body: Any) -> None:
    adapted = bodies(model, "x", **wishes)
    assert (adapted.bodies, adapted.ignored) == ([body], [])


def test_texts_are_split_by_the_family_s_batch_size() -> None:
    texts = [str(number) for number in range(200)]
    assert [len(body["texts"]) for body in bodies("cohere.embed-v4:0", *texts).bodies] == [96, 96, 8]
    assert [body["inputText"] for body in bodies("amazon.titan-embed-text-v2:0", *texts).bodies] == texts


def test_a_purpose_is_reported_as_ignored_for_titan() -> None:
    assert bodies("amazon.titan-embed-text-v2:0", "x", purpose="clustering").ignored == ["input_type"]


@pytest.mark.parametrize(
    ("model", "dimensions", "param"),
    [
        ("amazon.nova-pro-v1:0", None, "model"),
        ("amazon.titan-embed-text-v1", 256, "dimensions"),
        ("cohere.embed-v4:0", 1000, "dimensions"),
    ],
)
def test_other_models_and_dimensions_are_refused(model: str, dimensions: int | None, param: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refusal:
        bodies(model, "x", dimensions=dimensions)
    assert refusal.value.param == param


@pytest.mark.parametrize(
    "document",
    [
        {"embedding": [1.0, 2.0], "embeddingsByType": {"float": [1.0, 2.0]}, "inputTextTokenCount": 2},
        {"embeddings": [[1.0, 2.0]], "response_type": "embeddings_floats"},
        {"embeddings": {"float": [[1.0, 2.0]]}, "response_type": "embeddings_by_type"},
        {"embeddings": [{"embeddingType": "TEXT", "embedding": [1.0, 2.0]}]},
    ],
)
def test_vectors_are_read_from_each_family_s_response(document: Any) -> None:
    assert vectors_of(document) == [[1.0, 2.0]]


@pytest.mark.parametrize(
    "document", [{}, {"embeddings": []}, {"embedding": None}, {"embeddings": {"int8": [[1]]}}, {"embedding": ["x"]}]
)
def test_a_response_without_vectors_is_an_upstream_failure(document: Any) -> None:
    with pytest.raises(errors.UpstreamFailed):
        vectors_of(document)


def test_every_embedding_family_has_sizes() -> None:
    from app.models.families import FAMILIES

    embedding = [Capabilities().with_values(row.values) for row in FAMILIES if "embeddings" in row.values]
    assert len(embedding) == 5
    assert all(capabilities.embeddings.sizes for capabilities in embedding)
