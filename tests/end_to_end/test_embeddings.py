"""Embeddings with OpenAI's SDK for every model family, and one failure among many upstream calls."""

import asyncio
import base64
from typing import Any

import httpx
import openai
import pytest

from app.wire import json
from tests.servers import KEY, gateway, http_reply, read_request, upstream

MODELS = [
    ("amazon.titan-embed-text-v1", 1536),
    ("amazon.titan-embed-text-v2:0", 1024),
    ("cohere.embed-multilingual-v3", 1024),
    ("us.cohere.embed-v4:0", 1536),
    ("amazon.nova-2-multimodal-embeddings-v1:0", 3072),
    ("amazon.titan-embed-image-v1", 1024),
]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg=="
PICTURE = f"data:image/png;base64,{PNG}"


@pytest.mark.parametrize(
    "model",
    [
        "amazon.titan-embed-image-v1",
        "amazon.nova-2-multimodal-embeddings-v1:0",
        "us.cohere.embed-v4:0",
        "cohere.embed-english-v3",
        "us.twelvelabs.marengo-embed-2-7-v1:0",
        "us.twelvelabs.marengo-embed-3-0-v1:0",
    ],
)
def test_an_image_is_embedded_as_an_image(client: openai.OpenAI, model: str) -> None:
    """LiteLLM's form: a data: URL, or base64 alone, as a string."""
    texts, images = (client.embeddings.create(model=model, input=given) for given in (["a", "b"], [PICTURE, PNG]))
    assert images.data[0].embedding == images.data[1].embedding
    assert images.data[0].embedding not in [each.embedding for each in texts.data]


@pytest.mark.parametrize(
    "given",
    [
        {"content": [{"type": "text", "text": "a dog"}, {"type": "image_url", "image_url": {"url": PICTURE}}]},
        {"text": "a dog", "image": PICTURE},
        {"content": [{"type": "text", "text": "a dog"}, {"type": "image_url", "image_url": PICTURE}]},
    ],
)
@pytest.mark.parametrize(
    "model", ["amazon.titan-embed-image-v1", "us.cohere.embed-v4:0", "us.twelvelabs.marengo-embed-3-0-v1:0"]
)
def test_a_text_and_an_image_become_one_vector(gateway_url: str, model: str, given: Any) -> None:
    body = {"model": model, "input": [given, "a dog"]}
    answer = httpx.post(f"{gateway_url}/v1/embeddings", json=body, headers={"x-api-key": KEY})
    assert answer.status_code == 200, answer.text
    together, alone = (each["embedding"] for each in answer.json()["data"])
    assert together != alone


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (PICTURE, "input"),
        (["x", PNG], "input[1]"),
        ({"image": "https://example.com/a.png"}, "input.image"),
        ([{"content": [{"type": "image_url", "image_url": "x"}]}, "x"], "input[0].content[0].image_url"),
        ({"content": []}, "input"),
        ("data:application/pdf;base64,aGk=", "input"),
        ("data:image/png;base64,", "input"),
        (f" {PICTURE}", "input"),
        (f"\n{PNG}", "input"),
        (f"{PNG[:40]}\r\n{PNG[40:]}", "input"),
        ({"text": PICTURE}, "input"),
        ({"text": f"\t{PNG}"}, "input"),
        ({"content": [{"type": "text", "text": PICTURE}]}, "input"),
    ],
)
def test_media_for_a_model_of_texts_are_refused(gateway_url: str, given: Any, param: str) -> None:
    body = {"model": "amazon.titan-embed-text-v2:0", "input": given}
    answer = httpx.post(f"{gateway_url}/v1/embeddings", json=body, headers={"x-api-key": KEY})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("model", ["amazon.titan-embed-text-v2:0", "amazon.titan-embed-image-v1"])
@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "a BMP"),
        (b"II*\0\x08\0\0\0", "a TIFF"),
        (b"MM\0*\0\0\0\x08", "a TIFF"),
        (b"%PDF-1.7\n", "a PDF"),
    ],
)
def test_base64_of_what_no_model_embeds_is_refused(gateway_url: str, model: str, beginning: bytes, kind: str) -> None:
    data = base64.b64encode(beginning + bytes(64)).decode()
    for given, param in ((data, "input"), ({"text": data}, "input.text")):
        body = {"model": model, "input": given}
        answer = httpx.post(f"{gateway_url}/v1/embeddings", json=body, headers={"x-api-key": KEY})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == param
        assert kind in answer.json()["error"]["message"]


@pytest.mark.parametrize("text", ["Qk1234567890 " * 9, "x" * 200, "JVBERiX" * 20, "SUkq " * 30])
def test_a_text_that_only_looks_like_base64_is_embedded(client: openai.OpenAI, text: str) -> None:
    assert len(client.embeddings.create(model="amazon.titan-embed-text-v2:0", input=text).data) == 1


@pytest.mark.parametrize(("model", "size"), MODELS)
def test_base64_and_float_encodings_agree_for_every_family(
    client: openai.OpenAI, records: Any, model: str, size: int
) -> None:
    texts = [f"text number {number}" for number in range(20)]
    raw = client.embeddings.with_raw_response.create(model=model, input=texts)
    packed, plain = raw.parse(), client.embeddings.create(model=model, input=texts, encoding_format="float")
    assert [each.index for each in packed.data] == list(range(20))
    for one, other in zip(packed.data, plain.data, strict=True):
        assert len(one.embedding) == size
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    alone = client.embeddings.create(model=model, input=texts[7], encoding_format="float")
    assert alone.data[0].embedding == plain.data[7].embedding
    assert (packed.model, packed.usage.prompt_tokens) == (model, plain.usage.total_tokens)
    assert packed.usage.prompt_tokens == 20 * alone.usage.prompt_tokens
    record = records.by_id(raw.headers["x-request-id"])
    assert (record.mode, record.surface, record.usage.input) == ("native", "invoke", packed.usage.prompt_tokens)


def test_dimensions_sets_the_length_of_the_vector(client: openai.OpenAI) -> None:
    for model, size in (("amazon.titan-embed-text-v2:0", 256), ("cohere.embed-v4:0", 512)):
        made = client.embeddings.create(model=model, input="x", dimensions=size)
        assert len(made.data[0].embedding) == size


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"input": "x", "model": "scripted.echo-v1:0"}, "model"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1], [2]]}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "x", "dimensions": 3}, "dimensions"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "x", "input_type": "poetry"}, "input_type"),
        ({}, "input"),
    ],
)
def test_errors_name_the_field(gateway_url: str, request_: Any, param: str) -> None:
    body = {"model": "amazon.titan-embed-text-v2:0", **request_}
    answer = httpx.post(f"{gateway_url}/v1/embeddings", json=body, headers={"x-api-key": KEY})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].partition(".")[0] == param


def test_header_names_ignored_fields(gateway_url: str) -> None:
    body = {"model": "amazon.titan-embed-text-v2:0", "input": "x", "user": "u", "input_type": "clustering"}
    answer = httpx.post(f"{gateway_url}/v1/embeddings", json=body, headers={"x-api-key": KEY})
    assert answer.headers["x-outcrop-ignored"] == "user, input_type"


def test_header_names_ignored_fields_of_a_refused_request(gateway_url: str) -> None:
    body = {"model": "amazon.titan-embed-text-v2:0", "input": "x", "user": "u", "dimensions": 3}
    answer = httpx.post(f"{gateway_url}/v1/embeddings", json=body, headers={"x-api-key": KEY})
    assert (answer.status_code, answer.headers["x-outcrop-ignored"]) == (400, "user")


def test_upstream_calls_are_limited_to_8_keep_their_order_and_fail_together() -> None:
    running, limit, ended = 0, 0, 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, limit, ended
        while True:
            _, body = await read_request(reader)
            running += 1
            limit = max(limit, running)
            text = json.loads(body)["inputText"]
            try:
                await asyncio.sleep(0.02 if text != "slow" else 1)
            finally:
                running -= 1
                ended += 1
            status = "400 Bad Request" if text == "bad" else "200 OK"
            answer = {"message": "no"} if text == "bad" else {"embedding": [float(len(text))], "inputTextTokenCount": 1}
            writer.write(http_reply(json.dumps(answer), status))
            await writer.drain()

    def embed(base: str, texts: list[str]) -> httpx.Response:
        body = {"model": "amazon.titan-embed-text-v2:0", "input": texts}
        return httpx.post(f"{base}/v1/embeddings", json=body, headers={"x-api-key": KEY}, timeout=10)

    with upstream(handle) as url, gateway(url) as base:
        made = embed(base, ["x" * length for length in range(1, 41)]).json()
        assert [each["embedding"] for each in made["data"]] == [[float(length)] for length in range(1, 41)]
        assert made["usage"]["total_tokens"] == 40
        assert limit == 8
        assert embed(base, ["slow", "bad", *["x"] * 30]).status_code == 400


def test_too_few_vectors_return_502() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(b'{"embeddings": [[1.0]]}'))
        await writer.drain()

    with upstream(handle) as url, gateway(url) as base:
        body = {"model": "cohere.embed-english-v3", "input": ["a", "b"]}
        answer = httpx.post(f"{base}/v1/embeddings", json=body, headers={"x-api-key": KEY})
        assert answer.status_code == 502
