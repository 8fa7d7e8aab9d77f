"""What all of OpenAI's endpoints have in common on the OpenAPI page."""

from typing import Literal

from pydantic import BaseModel

from app.dialects.route import MEANINGS, error_responses


class ErrorDetail(BaseModel):
    """What went wrong; `param` is the path of the field."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorOut(BaseModel):
    """An error."""

    error: ErrorDetail


class ModelOut(BaseModel):
    """A model that can be called. `created` is 0 where AWS tells no date."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """The models that can be called."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


ERRORS = error_responses(ErrorOut, MEANINGS)
