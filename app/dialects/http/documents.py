"""Reads JSON bodies: known fields are validated strictly, unknown ones are kept and reported."""

from functools import cache
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, ValidationError

from app.errors import InvalidRequest
from app.wire import json
from app.wire.json import JsonObject, Outline

T = TypeVar("T")


class _FirstErrorOnly(FailFast):
    """Hashable, as Python 3.11 needs of what annotates a type."""

    __hash__ = object.__hash__


# stops at the first wrong member: validating many wrong ones takes seconds
InputList = Annotated[list[T], _FirstErrorOnly()]


# the name of a model; null is none
ModelName = Annotated[str, BeforeValidator(lambda name: "" if name is None else name)]


class OutputSchema(BaseModel):
    """A schema that only the OpenAPI page shows, built when the page is first requested."""

    model_config = ConfigDict(defer_build=True)


class InputSchema(BaseModel):
    """A schema of requests. It keeps unknown fields, so that they can be reported."""

    # built for the first request that needs it: docs/adr/0006-build-openapi-models-on-demand.md
    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)


Document = TypeVar("Document", bound=InputSchema)


def parse_object(body: bytes, outline: Outline | None = None) -> JsonObject:
    """Parse a body as a JSON object.

    Args:
        outline: of the body, if it is known already.

    Raises:
        InvalidRequest: it is none, or could be read in two ways.
    """
    if not body:
        raise InvalidRequest("the body is empty: send a JSON object")
    try:
        document = json.loads_strictly(body, outline)
    except json.JsonError as error:
        if error.path:
            raise InvalidRequest(str(error), param=error.path) from None
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    return document


def validate(document: Any, schema: type[Document]) -> Document:
    """Validate a document by its schema.

    Raises:
        InvalidRequest: it does not match, with the path of the first field that is wrong.
    """
    try:
        return schema.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        # of the errors of a union, the deepest belongs to the member that was meant
        fault = max(faults, key=lambda each: len(each["loc"]))
        path = _path(document, fault["loc"], is_missing=fault["type"] == "missing")
        raise InvalidRequest(f"{path or 'the body'}: {fault['msg']}", param=path or None) from None


def _path(value: Any, location: tuple[int | str, ...], *, is_missing: bool) -> str:
    """Return the path of pydantic's location, as `messages[0].content`.

    A location also holds the names of union members, which are not fields: they are not found in the document. A member
    may have the name of a field of its own, as the type `text` does; then the next step is a field of the same object.
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


def unknown_fields(document: InputSchema) -> list[tuple[str, Any]]:
    """Return the path and value of every field that no schema names, at any depth."""
    found = [*document.model_extra.items()] if document.model_extra else []
    for name in _nesting_fields(type(document)):
        value = getattr(document, name)
        if isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, InputSchema) and (within := unknown_fields(item)):
                    found += [(f"{name}[{index}].{path}", inside) for path, inside in within]
        elif isinstance(value, InputSchema):
            found += [(f"{name}.{path}", inside) for path, inside in unknown_fields(value)]
    return found


@cache
def _nesting_fields(schema: type[InputSchema]) -> tuple[str, ...]:
    """Return the names of the fields whose values may have schemas of their own."""
    return tuple(name for name, field in schema.model_fields.items() if _may_nest(field.annotation))


def _may_nest(annotation: object) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, InputSchema):
        return True
    return any(_may_nest(each) for each in get_args(annotation))


def model_name_of(document: JsonObject) -> str:
    """Return the model that a request names, or an empty string. Raises InvalidRequest if it is not a string."""
    name = document.get("model") or ""
    if not isinstance(name, str):
        raise InvalidRequest("must be a string", param="model")
    return name


def is_streamed(document: JsonObject) -> bool:
    """Tell whether a request asks for a stream. Raises InvalidRequest if `stream` is not a boolean."""
    streamed = document.get("stream")
    if streamed is not None and not isinstance(streamed, bool):
        raise InvalidRequest("must be true or false", param="stream")
    return streamed is True
