"""Requests are held to botocore's service model: required members, types, lengths, ranges, patterns and enums.

botocore itself checks only required members and minimum lengths, on the caller's side (contracts 4.2); the service
checks all of it. Template of the message: kibana#206487, litellm#19384, openclaw#12892 and others: paths are 1-based
with `.member`, values inside content blocks are not shown.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from functools import cache
from typing import Any

from botocore.model import ServiceModel, Shape
from botocore.session import Session

from app.emulator.errors import ServiceError, invalid


@cache
def service_model() -> ServiceModel:
    """Botocore's model of the runtime."""
    return Session().get_service_model("bedrock-runtime")


def check_constraints(operation: str, values: dict[str, Any]) -> None:
    """Check an operation's input, in JSON wire form, its path parameters included.

    Raises:
        ServiceError: SerializationException for a wrong type, ValidationException with every violated constraint.
    """
    found: list[str] = []
    _check(service_model().operation_model(operation).input_shape, values, "", found)
    if found:
        plural = "s" if len(found) > 1 else ""
        raise invalid(f"{len(found)} validation error{plural} detected: {'; '.join(found)}")


def _check(shape: Shape, value: Any, path: str, found: list[str]) -> None:
    match shape.type_name:
        case "structure" if getattr(shape, "is_document_type", False):
            return
        case "structure":
            _check_structure(shape, value, path, found)
        case "list":
            _expect(value, list, "structure or map" if isinstance(value, dict) else "scalar")
            _check_bounds(shape, len(value), "length", value, path, found)
            for place, item in enumerate(value, start=1):
                _check(shape.member, item, f"{path}.{place}.member", found)
        case "map":
            _expect(value, dict, "list" if isinstance(value, list) else "scalar")
            _check_bounds(shape, len(value), "length", value, path, found)
            _check_map(shape, value, path, found)
        case "string":
            _expect(value, str, _kind(value))
            _check_bounds(shape, len(value), "length", value, path, found)
            _check_text(shape, value, path, found)
        case "blob":
            _expect(value, str, _kind(value))
            _check_bounds(shape, len(_decode(value)), "length", value, path, found)
        case "integer" | "long":
            if (
                isinstance(value, bool)
                or not isinstance(value, int)
                or (shape.type_name == "integer" and value >= 2**31)
            ):
                raise _serialization(f"{_kind(value)} can not be converted to an Integer")
            _check_bounds(shape, value, "value", value, path, found)
        case "float" | "double":
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _serialization(f"{_kind(value)} can not be converted to a Float")
            _check_bounds(shape, value, "value", float(value), path, found)
        case "boolean":
            _expect(value, bool, _kind(value))


def _check_structure(shape: Any, value: Any, path: str, found: list[str]) -> None:
    _expect(value, dict, "list" if isinstance(value, list) else "scalar")
    for name in shape.required_members:
        if value.get(name) is None:
            found.append(f"Value at '{_join(path, name)}' failed to satisfy constraint: Member must not be null")
    known = [name for name in shape.members if value.get(name) is not None]
    if getattr(shape, "is_tagged_union", False) and len(known) != 1:
        raise invalid(f"The {shape.name} object at {path} must set exactly one of: {', '.join(shape.members)}.")
    for name in known:
        _check(shape.members[name], value[name], _join(path, name), found)


def _check_map(shape: Any, value: dict[str, Any], path: str, found: list[str]) -> None:
    for key, item in value.items():
        inner: list[str] = []
        _check(shape.key, key, path, inner)
        _check(shape.value, item, path, inner)
        if inner:
            rules = ", ".join(fault.partition("constraint: ")[2] for fault in inner)
            found.append(
                f"Value at '{path}' failed to satisfy constraint: Map value must satisfy constraint: [{rules}]"
            )


def _check_text(shape: Any, value: str, path: str, found: list[str]) -> None:
    if shape.enum and value not in shape.enum:
        _report(found, value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        _report(found, value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _check_bounds(shape: Shape, size: float, what: str, value: Any, path: str, found: list[str]) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        _report(found, value, path, f"Member must have {what} greater than or equal to {least}")
    if most is not None and size > most:
        _report(found, value, path, f"Member must have {what} less than or equal to {most}")


def _report(found: list[str], value: Any, path: str, rule: str) -> None:
    is_shown = isinstance(value, str | int | float) and (
        ".content." not in path and not path.startswith("requestMetadata")
    )
    shown = f" '{value}'" if is_shown else ""
    found.append(f"Value{shown} at '{path}' failed to satisfy constraint: {rule}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _decode(value: str) -> bytes:
    try:
        return b64decode(value, validate=True)
    except (Base64Error, ValueError):
        raise _serialization("Invalid base64 value") from None


def _expect(value: Any, kind: type, found: str) -> None:
    if not isinstance(value, kind):
        raise _serialization(
            f"Start of {found} found where not expected"
            if isinstance(value, dict | list)
            else f"{found} can not be converted"
        )


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "structure or map"
    if isinstance(value, list):
        return "list"
    return {bool: "BOOLEAN_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE", str: "STRING_VALUE"}.get(
        type(value), "NULL_VALUE"
    )


def _serialization(message: str) -> ServiceError:
    return ServiceError("SerializationException", message, is_front_end=True)
