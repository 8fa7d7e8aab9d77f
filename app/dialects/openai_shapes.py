"""What all of OpenAI's endpoints have in common on the OpenAPI page."""

from typing import Literal

from pydantic import BaseModel

from app.dialects.route import error_responses


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


ERRORS = error_responses(
    ErrorOut,
    {
        400: "The request cannot be carried out; `param` names the field.",
        401: "No key, or one that is not known.",
        403: "AWS refuses the gateway's identity.",
        404: "No such model.",
        405: "Another method is wanted.",
        413: "The body is too large.",
        429: "Throttled; `retry-after` says for how long, where Bedrock does.",
        500: "A fault of the gateway, or Bedrock's InternalServerException.",
        502: "Bedrock could not be reached, or its answer made no sense.",
        503: "Bedrock has no capacity.",
        504: "Bedrock did not answer within the limits.",
    },
)
