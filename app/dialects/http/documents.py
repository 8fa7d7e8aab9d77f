"""What callers send as JSON: read strictly where a value is known, kept and reported where a field is not."""

from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, ValidationError

from app.errors import InvalidRequest
from app.process.off_loop import off_loop
from app.wire import json

T = TypeVar("T")


class _First(FailFast):
    """Python 3.11 puts what annotates a type into a set."""

    __hash__ = object.__hash__


# the first member that is wrong is told of; looking for all of them takes seconds where there are many
Listed = Annotated[list[T], _First()]


# whoever has no model to name may say so with null
Name = Annotated[str, BeforeValidator(lambda name: "" if name is None else name)]


class Shown(BaseModel):
    """What only the OpenAPI page shows: nothing is built of it before somebody looks."""

    model_config = ConfigDict(defer_build=True)


class Open(BaseModel):
    """Keeps fields that it does not know, so that they can be reported."""

    # no request waits for it to be built
    model_config = ConfigDict(extra="allow", frozen=True, defer_build=False)


Document = TypeVar("Document", bound=Open)


def load_document(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        InvalidRequest: it is none, or one that could be read in two ways.
    """
    if not body:
        raise InvalidRequest("the body is empty: a JSON object is wanted")
    try:
        return json.loads_strictly(body)
    except json.JsonError as error:
        if error.path:
            raise InvalidRequest(str(error), param=error.path) from None
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None


def validate(document: Any, schema: type[Document]) -> Document:
    """What a document says, by its schema.

    Raises:
        InvalidRequest: it does not fit, with the path of the first field that is wrong.
    """
    try:
        return schema.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        # Of a union's faults the deepest belongs to the member that was meant.
        fault = max(faults, key=lambda each: len(each["loc"]))
        path = _path(document, fault["loc"], is_missing=fault["type"] == "missing")
        raise InvalidRequest(f"{path or 'the body'}: {fault['msg']}", param=path or None) from None


def _path(value: Any, location: tuple[int | str, ...], *, is_missing: bool) -> str:
    """`messages[0].content` from pydantic's location, which also names the members of unions on the way.

    What is a field is told by walking the document along: a member's name leads nowhere in it. A member may be called
    like a field of its own, as the type `text` is; then what comes behind it is a field of the same object.
    """
    path = ""
    for index, step in enumerate(location, start=1):
        if isinstance(value, dict) and value.get("type") == step and index < len(location) and location[index] in value:
            continue
        if isinstance(step, int) and isinstance(value, list):
            path += f"[{step}]"
            value = value[step]
        elif isinstance(value, dict) and (step in value or (is_missing and index == len(location))):
            path += f".{step}" if path else str(step)
            value = value.get(step)
    return path


def unknown_fields(document: Open) -> list[tuple[str, Any]]:
    """Every field that no schema knows, at any depth, as its path and its value."""
    found = [*document.model_extra.items()] if document.model_extra else []
    for name, value in document.__dict__.items():
        if value is None:
            continue
        if isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Open):
                    found += [(f"{name}[{index}].{path}", inside) for path, inside in unknown_fields(item)]
        elif isinstance(value, Open):
            found += [(f"{name}.{path}", inside) for path, inside in unknown_fields(value)]
    return found


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        InvalidRequest: it is none.
    """
    document = load_document(body)
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    return document


async def read_object(body: bytes) -> dict[str, Any]:
    """The same, aside if the body is large. Raises as `object_of` does."""
    return await off_loop(len(body), partial(object_of, body))


async def read_as(body: bytes, schema: type[Document]) -> Document:
    """What a body says, by its schema; aside if it is large. Raises as `object_of` and `validate` do."""
    return await off_loop(len(body), lambda: validate(object_of(body), schema))


def name_of(document: dict[str, Any]) -> str:
    """The model that a request names, or nothing. Raises InvalidRequest where that is no text."""
    name = document.get("model") or ""
    if not isinstance(name, str):
        raise InvalidRequest("must be a string", param="model")
    return name


def is_streamed(document: dict[str, Any]) -> bool:
    """True if a request asks for a stream. Raises InvalidRequest where it says neither."""
    streamed = document.get("stream")
    if streamed is not None and not isinstance(streamed, bool):
        raise InvalidRequest("must be true or false", param="stream")
    return streamed is True
