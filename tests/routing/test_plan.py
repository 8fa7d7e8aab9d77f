import pytest

from app.errors import InvalidRequest
from app.models.ids import parse_model_id
from app.models.traits import traits_of
from app.routing.plan import Planner

PLANNER = Planner("us.amazon.nova-2-lite-v1:0")


@pytest.mark.parametrize("name", ["", "default", "us.amazon.nova-2-lite-v1:0"])
def test_no_name_and_the_alias_stand_for_the_default_model(name: str) -> None:
    target = PLANNER.plan(name)
    assert target.model.raw == "us.amazon.nova-2-lite-v1:0"
    assert target.traits == traits_of(parse_model_id("amazon.nova-2-lite-v1:0"))


def test_any_other_name_stands_for_itself() -> None:
    assert PLANNER.plan("qwen.qwen3-32b-v1:0").model.raw == "qwen.qwen3-32b-v1:0"
    with pytest.raises(InvalidRequest):
        PLANNER.plan("no model")
