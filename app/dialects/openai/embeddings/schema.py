"""The schemas of requests and responses, as of openai 3.57. `input_type` is Cohere's name for the purpose."""

from typing import Literal

from pydantic import Field

from app.dialects.http.documents import InputList, InputSchema, ModelName, OutputSchema


class ContentPart(InputSchema):
    """A text, or an image as a data: URL."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: str | dict[Literal["url"], str] | None = None


class MixedItem(InputSchema):
    """A text and images that become one vector: `content` as Cohere's API has it, or `text` and `image` as Jina's."""

    text: str | None = None
    image: str | None = None
    content: InputList[ContentPart] | None = None


class EmbeddingRequest(InputSchema):
    """A request for embeddings. `input` as token ids is refused: they are those of another model's tokenizer.

    A string that is a data: URL is embedded as the media that it holds.
    """

    model: ModelName = ""
    input: str | MixedItem | InputList[str | MixedItem] | InputList[int] | InputList[InputList[int]]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(None, ge=1)
    input_type: Literal["search_document", "search_query", "classification", "clustering"] | None = None


class EmbeddingOut(OutputSchema):
    """The vector of one input: numbers, or the base64 of little-endian 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(OutputSchema):
    """Tokens spent."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(OutputSchema):
    """The vectors, in the order of the inputs."""

    object: Literal["list"]
    data: list[EmbeddingOut]
    model: str
    usage: EmbeddingUsage
