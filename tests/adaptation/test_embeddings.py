"""Bodies and responses of each embedding family, as recorded."""

from typing import Any

import pytest

from app import errors
from app.adaptation.embeddings import EmbeddedMedia, EmbeddingCall, MixedInput, adapt_embeddings, vectors_of
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id

TITAN_IMAGE, NOVA, COHERE_4, COHERE_3 = (
    "amazon.titan-embed-image-v1",
    "amazon.nova-2-multimodal-embeddings-v1:0",
    "us.cohere.embed-v4:0",
    "cohere.embed-english-v3",
)
MARENGO_2, MARENGO_3 = "us.twelvelabs.marengo-embed-2-7-v1:0", "us.twelvelabs.marengo-embed-3-0-v1:0"
PICTURE = EmbeddedMedia("image", "image/png", "png", "aGk=")
SOUND = EmbeddedMedia("audio", "audio/mp3", "mp3", "aGk=")
IMAGE = MixedInput("input", (PICTURE,))
CAPTIONED = MixedInput("input", (PICTURE,), "a dog")
PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


def bodies(model: str, *inputs: Any, **wishes: Any) -> Any:
    return adapt_embeddings(EmbeddingCall(model, list(inputs), **wishes), capabilities_of(parse_model_id(model)))


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
    assert len(embedding) == 8
    assert all(capabilities.embeddings.sizes for capabilities in embedding)


# AWS user guide, inference parameters of each model (2026-11)
@pytest.mark.parametrize(
    ("model", "given", "wishes", "body"),
    [
        (TITAN_IMAGE, "x", {"dimensions": 384}, {"inputText": "x", "embeddingConfig": {"outputEmbeddingLength": 384}}),
        (TITAN_IMAGE, IMAGE, {}, {"inputImage": "aGk="}),
        (TITAN_IMAGE, CAPTIONED, {}, {"inputImage": "aGk=", "inputText": "a dog"}),
        (
            NOVA,
            IMAGE,
            {},
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX",
                    "image": {"format": "png", "source": {"bytes": "aGk="}},
                },
            },
        ),
        (
            COHERE_4,
            CAPTIONED,
            {"dimensions": 256},
            {
                "input_type": "search_document",
                "truncate": "NONE",
                "inputs": [{"content": [{"type": "text", "text": "a dog"}, PART]}],
                "output_dimension": 256,
            },
        ),
        (COHERE_3, IMAGE, {}, {"images": ["data:image/png;base64,aGk="], "input_type": "image"}),
        (MARENGO_2, "x", {}, {"inputType": "text", "inputText": "x", "textTruncate": "none"}),
        (MARENGO_2, IMAGE, {}, {"inputType": "image", "mediaSource": {"base64String": "aGk="}}),
        (MARENGO_3, "x", {"dimensions": 512}, {"inputType": "text", "text": {"inputText": "x"}}),
        (
            MARENGO_3,
            CAPTIONED,
            {},
            {
                "inputType": "text_image",
                "text_image": {"mediaSource": {"base64String": "aGk="}, "inputText": "a dog"},
            },
        ),
    ],
)
def test_media_have_each_family_s_shape(model: str, given: Any, wishes: Any, body: Any) -> None:
    assert bodies(model, given, **wishes).bodies == [body]


def test_sounds_and_films_go_to_nova_only() -> None:
    film = EmbeddedMedia("video", "video/mp4", "mp4", "aGk=")
    for media in (SOUND, film):
        parameters = bodies(NOVA, MixedInput("input", (media,))).bodies[0]["singleEmbeddingParams"]
        assert parameters[media.kind]["source"] == {"bytes": "aGk="}
    assert parameters["video"]["embeddingMode"] == "AUDIO_VIDEO_COMBINED"


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        ("amazon.titan-embed-text-v2:0", IMAGE, "this model embeds texts, no images"),
        (TITAN_IMAGE, MixedInput("input[1]", (SOUND,)), "this model embeds texts and images, no audios"),
        (NOVA, CAPTIONED, "no text together with media"),
        (MARENGO_2, CAPTIONED, "no text together with media"),
        (TITAN_IMAGE, MixedInput("input", (PICTURE, PICTURE)), "one image at a time"),
    ],
)
def test_media_that_a_model_does_not_embed_are_refused(model: str, given: Any, words: str) -> None:
    """As a text they would get a wrong vector with 200."""
    with pytest.raises(errors.InvalidRequest, match=words) as caught:
        bodies(model, given)
    assert caught.value.param == given.path


def test_media_are_in_bodies_of_their_own_unless_they_mix() -> None:
    sent = bodies(COHERE_3, "a", "b", IMAGE, "c").bodies
    assert [body.get("texts") or len(body["images"]) for body in sent] == [["a", "b"], 1, ["c"]]
    (body,) = bodies(COHERE_4, "a", IMAGE, "c").bodies
    assert [item["content"][0]["type"] for item in body["inputs"]] == ["text", "image_url", "text"]
    assert len(bodies(COHERE_4, *[IMAGE] * 97).bodies) == 2


def test_vectors_of_marengo_are_read() -> None:
    assert vectors_of({"data": [{"embedding": [0.5, 1.0]}]}) == [[0.5, 1.0]]
