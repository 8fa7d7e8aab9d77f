"""The schema of responses, for the OpenAPI page and the tests.

Source: docs/reference/contracts/anthropic-messages.md#reply
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CacheCreation(_Closed):
    """Tokens written to a cache, by their lifetime."""

    ephemeral_5m_input_tokens: int
    ephemeral_1h_input_tokens: int


class UsageOut(_Closed):
    """Tokens spent; `input_tokens` excludes the cached ones."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    cache_creation: CacheCreation | None = None
    service_tier: str | None = None


class MessageOut(_Closed):
    """A response."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: str | None
    stop_sequence: str | None
    usage: UsageOut


class TokenCount(_Closed):
    """The tokens of an input."""

    input_tokens: int


class ErrorDetail(_Closed):
    """What went wrong."""

    type: str
    message: str
    details: dict[str, Any] | None = None


class ErrorOut(_Closed):
    """An error."""

    type: Literal["error"]
    error: ErrorDetail
    request_id: str
