"""Checks a request against botocore's service model: required members, types, lengths, ranges, patterns and enums.

The service checks all of these; botocore itself checks only required members and minimum lengths, on the caller's side
(docs/reference/contracts/bedrock-wire.md#client-side-validation). Wording: kibana#206487, litellm#19384, openclaw#12892
and others. Paths are 1-based with `.member`; values within content blocks are not shown.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from functools import cache

from botocore.model import ServiceModel, Shape
from botocore.session import Session

from app.emulator.errors import ServiceError, invalid
from app.wire.json import JsonObject


def check_constraints(operation: str, values: JsonObject) -> None:
    """Check the input of an operation, in JSON wire form, including its path parameters.

    Raises:
        ServiceError: SerializationException for a wrong type, ValidationException with every violated constraint.
    """
    validator = _Validator()
    validator.check(_service_model().operation_model(operation).input_shape, values, "")
    if violations := validator.violations:
        plural = "s" if len(violations) > 1 else ""
        raise invalid(f"{len(violations)} validation error{plural} detected: {'; '.join(violations)}")


@cache
def _service_model() -> ServiceModel:
    return Session().get_service_model("bedrock-runtime")


class _Validator:
    """Collects the constraints that one input violates."""

    def __init__(self) -> None:
        self.violations: list[str] = []

    def check(self, shape: Shape, value: object, path: str) -> None:
        """Check one value.

        Raises:
            ServiceError: SerializationException for a wrong type; ValidationException for a union with other than one
                member.
        """
        check = _CHECKS.get(shape.type_name)
        if check is not None:
            check(self, shape, value, path)

    def check_structure(self, shape: Shape, value: object, path: str) -> None:
        if getattr(shape, "is_document_type", False):
            return
        if not isinstance(value, dict):
            raise _wrong_type(value, "list" if isinstance(value, list) else "scalar")
        for name in shape.required_members:
            if value.get(name) is None:
                self.violations.append(
                    f"Value at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
                )
        known = [name for name in shape.members if value.get(name) is not None]
        if getattr(shape, "is_tagged_union", False) and len(known) != 1:
            raise invalid(f"The {shape.name} object at {path} must set exactly one of: {', '.join(shape.members)}.")
        for name in known:
            self.check(shape.members[name], value[name], _join(path, name))

    def check_list(self, shape: Shape, value: object, path: str) -> None:
        if not isinstance(value, list):
            raise _wrong_type(value, "structure or map" if isinstance(value, dict) else "scalar")
        self._bounds(shape, len(value), "length", value, path)
        for position, item in enumerate(value, start=1):
            self.check(shape.member, item, f"{path}.{position}.member")

    def check_map(self, shape: Shape, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise _wrong_type(value, "list" if isinstance(value, list) else "scalar")
        self._bounds(shape, len(value), "length", value, path)
        for key, item in value.items():
            entry = _Validator()
            entry.check(shape.key, key, path)
            entry.check(shape.value, item, path)
            if entry.violations:
                rules = ", ".join(violation.partition("constraint: ")[2] for violation in entry.violations)
                self.violations.append(
                    f"Value at '{path}' failed to satisfy constraint: Map value must satisfy constraint: [{rules}]"
                )

    def check_string(self, shape: Shape, value: object, path: str) -> None:
        if not isinstance(value, str):
            raise _wrong_type(value, _json_type(value))
        self._bounds(shape, len(value), "length", value, path)
        if shape.enum and value not in shape.enum:
            self._report(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            self._report(value, path, f"Member must satisfy regular expression pattern: {pattern}")

    def check_blob(self, shape: Shape, value: object, path: str) -> None:
        if not isinstance(value, str):
            raise _wrong_type(value, _json_type(value))
        try:
            size = len(b64decode(value, validate=True))
        except (Base64Error, ValueError):
            raise _serialization_error("Invalid base64 value") from None
        self._bounds(shape, size, "length", value, path)

    def check_integer(self, shape: Shape, value: object, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or (shape.type_name == "integer" and value >= 2**31):
            raise _serialization_error(f"{_json_type(value)} can not be converted to an Integer")
        self._bounds(shape, value, "value", value, path)

    def check_float(self, shape: Shape, value: object, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _serialization_error(f"{_json_type(value)} can not be converted to a Float")
        self._bounds(shape, value, "value", float(value), path)

    def check_boolean(self, _: Shape, value: object, __: str) -> None:
        if not isinstance(value, bool):
            raise _wrong_type(value, _json_type(value))

    def _bounds(self, shape: Shape, size: float, what: str, value: object, path: str) -> None:
        minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
        if minimum is not None and size < minimum:
            self._report(value, path, f"Member must have {what} greater than or equal to {minimum}")
        if maximum is not None and size > maximum:
            self._report(value, path, f"Member must have {what} less than or equal to {maximum}")

    def _report(self, value: object, path: str, rule: str) -> None:
        is_shown = isinstance(value, str | int | float) and (
            ".content." not in path and not path.startswith("requestMetadata")
        )
        shown = f" '{value}'" if is_shown else ""
        self.violations.append(f"Value{shown} at '{path}' failed to satisfy constraint: {rule}")


_CHECKS: dict[str, Callable[[_Validator, Shape, object, str], None]] = {
    "structure": _Validator.check_structure,
    "list": _Validator.check_list,
    "map": _Validator.check_map,
    "string": _Validator.check_string,
    "blob": _Validator.check_blob,
    "integer": _Validator.check_integer,
    "long": _Validator.check_integer,
    "float": _Validator.check_float,
    "double": _Validator.check_float,
    "boolean": _Validator.check_boolean,
}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong_type(value: object, found: str) -> ServiceError:
    if isinstance(value, dict | list):
        return _serialization_error(f"Start of {found} found where not expected")
    return _serialization_error(f"{found} can not be converted")


def _json_type(value: object) -> str:
    if isinstance(value, dict):
        return "structure or map"
    if isinstance(value, list):
        return "list"
    return {bool: "BOOLEAN_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE", str: "STRING_VALUE"}.get(
        type(value), "NULL_VALUE"
    )


def _serialization_error(message: str) -> ServiceError:
    return ServiceError("SerializationException", message, is_front_end=True)
