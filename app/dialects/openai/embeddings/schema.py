"""The schemas of requests and responses, as of openai 3.57. `input_type` is Cohere's name for the purpose."""

from typing import Literal

from pydantic import Field

from app.dialects.http.documents import InputList, InputSchema, ModelName, OutputSchema


class EmbeddingRequest(InputSchema):
    """A request for embeddings. `input` as token ids is refused: they are those of another model's tokenizer."""

    model: ModelName = ""
    input: str | InputList[str] | InputList[int] | InputList[InputList[int]]
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
