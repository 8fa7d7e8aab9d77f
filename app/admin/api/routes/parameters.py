"""Parameters that several endpoints of the admin API take."""

from typing import Annotated, TypeVar

from fastapi import Header, Path, Query
from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)

# FastAPI fills the model from the query, and refuses parameters that it does not have
QueryOf = Annotated[Model, Query()]
ObjectId = Annotated[str, Path(description="The id.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="A request that is sent again with the same key gets the stored answer, for a day.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1024,
        description="The `ETag` that was read; another revision is answered with 412.",
    ),
]
CHANGE_ERRORS = (400, 408, 413, 415)
