"""Schemas that OpenAI's endpoints share on the OpenAPI page."""

from typing import Literal

from app.dialects.http.documents import OutputSchema
from app.dialects.http.endpoint_spec import ERROR_DESCRIPTIONS, error_responses


class ErrorDetail(OutputSchema):
    """What went wrong; `param` is the path of the field."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorOut(OutputSchema):
    """An error."""

    error: ErrorDetail


class ModelOut(OutputSchema):
    """A model that can be called. `created` is 0 if AWS reports no date."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(OutputSchema):
    """The models that can be called."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


ERRORS = error_responses(ErrorOut, ERROR_DESCRIPTIONS)
