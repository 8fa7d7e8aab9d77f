"""Our TypedDicts equal botocore's service model, member for member."""

from typing import Any, get_args, get_origin, get_type_hints

import pytest
from botocore.model import Shape
from botocore.session import Session
from typing_extensions import is_typeddict

from app.converse import content, events, guardrail, reply, request

MODEL = Session().get_service_model("bedrock-runtime")
# Bedrock's name, where ours differs
RENAMED = {
    "ConverseResponse": "Reply",
    "ConverseStreamOutput": "Event",
    "ConverseStreamMetadataEvent": "MetadataEvent",
    "ConverseStreamMetrics": "StreamMetrics",
    "ConverseStreamTrace": "StreamTrace",
}
SHAPES: dict[str, Shape] = {}


def walk(shape: Shape) -> None:
    match shape.type_name:
        case "list":
            walk(shape.member)
        case "map":
            walk(shape.value)
        case "structure" if not shape.is_document_type and shape.name not in SHAPES:
            SHAPES[shape.name] = shape
            for member in shape.members.values():
                walk(member)


for operation in ("Converse", "ConverseStream"):
    walk(MODEL.operation_model(operation).input_shape)
    walk(MODEL.operation_model(operation).output_shape)
# its only member is the stream, whose events are `Event`
del SHAPES["ConverseStreamResponse"]


def ours(name: str) -> Any:
    wanted = RENAMED.get(name, name)
    return next(
        vars(module)[wanted] for module in (content, events, guardrail, reply, request) if wanted in vars(module)
    )


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_members_and_requiredness_are_equal(name: str) -> None:
    shape, typed = SHAPES[name], ours(name)
    expected = set(shape.members) - {"modelId"}
    assert set(typed.__annotations__) == expected
    assert set(typed.__required_keys__) == set(shape.required_members) - {"modelId"}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_types_are_equal(name: str) -> None:
    hints = get_type_hints(ours(name))
    for member, shape in SHAPES[name].members.items():
        if member != "modelId":
            check_type(hints[member], shape)


def check_type(hint: Any, shape: Shape) -> None:
    match shape.type_name:
        case "list":
            assert get_origin(hint) is list
            check_type(get_args(hint)[0], shape.member)
        case "map":
            assert get_origin(hint) is dict
            check_type(get_args(hint)[1], shape.value)
        case "structure":
            assert hint is Any if shape.is_document_type else is_typeddict(hint)
        case "string":
            assert hint is str or set(get_args(hint)) == set(shape.enum)
        case kind:
            expected = {"integer": int, "long": int, "float": float, "double": float, "boolean": bool, "blob": str}
            assert hint is expected[kind]
