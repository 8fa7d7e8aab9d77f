"""The schemas of requests and responses: Cohere's Rerank, API versions 1 and 2."""

from pydantic import Field

from app.dialects.http.documents import InputList, InputSchema, OutputSchema


class DocumentIn(InputSchema):
    """A document with its text, as version 1 has them."""

    text: str


class RerankRequest(InputSchema):
    """A query, and the documents to sort by their relevance to it."""

    model: str
    query: str = Field(min_length=1)
    documents: InputList[str | DocumentIn] = Field(min_length=1, max_length=1000)
    top_n: int | None = Field(None, ge=1)
    return_documents: bool | None = None


class DocumentOut(OutputSchema):
    """The text of a document."""

    text: str


class RerankResult(OutputSchema):
    """A document, by its index in the request. document: only if `return_documents` is set."""

    index: int
    relevance_score: float
    document: DocumentOut | None = None


class RerankOut(OutputSchema):
    """The most relevant documents, best first. meta.billed_units.search_units: one for each hundred documents."""

    id: str
    results: list[RerankResult]
    meta: dict[str, dict[str, object]]


class RerankError(OutputSchema):
    """What went wrong, in Cohere's shape."""

    message: str
