import pytest

from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.errors import InvalidRequest, ModelDiffers
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id
from app.routing import planner as plan
from app.routing.planner import Choice, Planner, Route

PLANNER = Planner("us.amazon.nova-2-lite-v1:0")


@pytest.mark.parametrize("name", ["", "default", "us.amazon.nova-2-lite-v1:0"])
def test_no_name_and_the_alias_stand_for_the_default_model(name: str) -> None:
    target = PLANNER.plan(name)[0]
    assert target.model.raw == "us.amazon.nova-2-lite-v1:0"
    assert target.capabilities == capabilities_of(parse_model_id("amazon.nova-2-lite-v1:0"))


def test_any_other_name_stands_for_itself() -> None:
    assert PLANNER.plan("qwen.qwen3-32b-v1:0")[0].model.raw == "qwen.qwen3-32b-v1:0"
    with pytest.raises(InvalidRequest):
        PLANNER.plan("no model")


def test_a_route_keeps_its_order_and_precedes_aliases() -> None:
    elsewhere = UpstreamLocation("us-west-2", "arn:aws:iam::111122223333:role/x")
    route = Route((Choice("a.one"), Choice("b.two", elsewhere)))
    planner = Planner("z.z", {"one": "a.one"}, {"both": route, "default": Route((Choice("b.two"),))})
    first, second = planner.plan("both")
    assert (first.model.raw, first.location) == ("a.one", DEFAULT_LOCATION)
    assert (second.model.raw, second.location) == ("b.two", elsewhere)
    assert planner.plan("")[0].model.raw == "b.two"
    assert planner.names() == ["both", "one"]
    assert [planner.configured_model(name) for name in ("both", "one", "", "c.three")] == [
        "a.one",
        "a.one",
        "b.two",
        "",
    ]
    assert [planner.known_as(name) for name in ("both", "")] == ["both", "b.two"]
    assert [planner.is_ours(name) for name in ("both", "one", "default", "c.three", "")] == [True] * 3 + [False] * 2
    assert [planner.knows(name) for name in ("both", "c.three", "no model", "")] == [True, True, False, False]


def test_the_targets_of_a_name_are_planned_once_until_something_is_learned() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    weighted = Route((Choice("a.one"), Choice("b.two")), is_weighted=True)
    planner = Planner("a.b", routes={"drawn": weighted})
    (target,) = planner.plan("a.b")
    assert planner.plan("a.b")[0] is target
    assert planner.plan(arn) is not planner.plan(arn)
    assert planner.plan("drawn") is not planner.plan("drawn")
    planner.remember_profile("a.b", "us.a.b")
    assert planner.plan("a.b")[0].model.raw == "us.a.b"
    plan_for_own_requests = planner.plan_for("a.b")
    assert plan_for_own_requests is not None
    assert plan_for_own_requests is planner.plan_for("a.b")
    assert [target.model.raw for target in plan_for_own_requests.as_named] == ["a.b"]
    planner.forget_names_of("us.a.b")
    assert planner.plan("a.b") == [target]
    planner.record_override(target, ModelDiffers("no", {"max_output": 9}, is_lasting=True), "a")
    assert planner.plan("a.b")[0].capabilities.max_output == 9
    assert planner.plan("a.b") is not planner.plan("a.b")


def test_weights_of_a_route_are_shares_of_first_choices() -> None:
    route = Route((Choice("a.one", weight=3), Choice("b.two", weight=1)), is_weighted=True)
    drawn = [route.ordered()[0].model for _ in range(4000)]
    assert 2800 < drawn.count("a.one") < 3200
    assert {len(route.ordered()) for _ in range(10)} == {2}


def test_the_model_behind_an_arn_gives_its_capabilities() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    planner = Planner("z.z")
    assert planner.plan(arn)[0].capabilities == Capabilities()
    planner.behind[arn] = parse_model_id("anthropic.claude-3-haiku-20240307-v1:0")
    target = planner.plan(arn)[0]
    assert (target.model.raw, target.model_behind.base) == (arn, "anthropic.claude-3-haiku-20240307-v1:0")
    assert target.capabilities.native.formats("invoke") == ["anthropic"]


def test_profiles_are_remembered_by_a_bounded_number_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.routing.planner._MAX_PROFILES", 2)
    planner = Planner("a.b")
    for number in range(5):
        planner.remember_profile(f"a.b{number}", "us.a.b")
    assert planner.profiles == {"a.b0": "us.a.b", "a.b1": "us.a.b"}
    planner.forget_names_of("us.a.b")
    assert planner.profiles == {}


def test_an_override_holds_for_one_location_until_it_expires() -> None:
    model, elsewhere = "anthropic.claude-sonnet-5", UpstreamLocation("us-west-2")
    now = [100.0]
    planner = Planner(model, routes={"there": Route((Choice(model, elsewhere),))}, clock=lambda: now[0])
    (target,) = planner.plan(model)
    refusals = (
        ModelDiffers("no", {"max_output": 9}, is_lasting=True),
        ModelDiffers("no", {"schemas": {"strict_tools": True}}, is_lasting=True),
    )
    overridden = target.with_override(refusals[0])
    assert overridden is not None
    assert (overridden.key, overridden.capabilities.max_output) == (target.key, 9)
    for refusal in refusals:
        planner.record_override(target, refusal, "a")
    (again,), (there,) = planner.plan(model), planner.plan("there")
    assert (again.capabilities.max_output, again.capabilities.schemas.strict_tools) == (9, True)
    assert there.capabilities == target.capabilities
    own = "arn:aws:bedrock:us-east-1:111122223333:custom-model-deployment/abcdefghijkl"
    planner.behind[own] = parse_model_id(model)
    assert planner.plan(own)[0].capabilities == target.capabilities
    now[0] += 3600
    assert planner.plan(model) == [target]
    planner.record_override(target, ModelDiffers("no", {"tools": {"accepted": False}}, is_lasting=True), "a")
    assert [values for _, values in planner.overrides.values()] == [{"tools": {"accepted": False}}]


def test_a_known_or_single_call_capability_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner("anthropic.claude-sonnet-5")
    (target,) = planner.plan("")
    assert target.with_override(ModelDiffers("no", {"sampling": {"accepted": False}}, is_lasting=True)) is None
    assert target.with_override(ModelDiffers("no")) is None
    refusal = ModelDiffers("no", {"schemas": {"structured_output": "native"}})
    for_once = target.with_override(refusal)
    assert for_once is not None
    planner.record_override(target, refusal, "a")
    assert (for_once.capabilities.schemas.structured_output, planner.plan("")) == ("native", [target])
    monkeypatch.setattr(plan, "_MAX_OVERRIDES", 0)
    planner.record_override(target, ModelDiffers("no", {"tools": {"accepted": False}}, is_lasting=True), "a")
    assert planner.overrides == {}


def test_an_override_holds_for_its_caller_until_another_caller_confirms_it() -> None:
    """Finding M6: one caller's refusal changed the requests of all callers."""
    now = [100.0]
    planner = Planner("anthropic.claude-sonnet-5", has_several_callers=True, clock=lambda: now[0])
    (target,) = planner.plan("")
    limited = ModelDiffers("no", {"max_output": 1}, is_lasting=True)

    def limits() -> list[int]:
        return [planner.plan("", caller)[0].capabilities.max_output for caller in "abc"]

    known = target.capabilities.max_output
    for _ in range(3):
        planner.record_override(target, limited, "a")
    assert limits() == [1, known, known]
    planner.record_override(target, ModelDiffers("no", {"max_output": 2}, is_lasting=True), "b")
    assert limits() == [1, 2, known]
    planner.record_override(target, limited, "c")
    assert limits() == [1, 2, 1]
    assert planner.plan("")[0].capabilities.max_output == 1
    now[0] += 3600
    assert limits() == [known] * 3
    assert planner.overrides_of_callers == {}


def test_a_short_name_follows_the_lists_of_the_region_and_rules_until_they_are_known() -> None:
    planner = Planner(
        "a.b", {"claude-opus-4-8": "amazon.nova-pro-v1:0", "fast": "claude-haiku-4-5"}, region="eu-west-1"
    )
    (guessed,) = planner.plan("claude-haiku-4-5")
    assert (guessed.model.raw, guessed.is_unresolved) == ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", True)
    assert planner.plan("claude-haiku-4-5") is not planner.plan("claude-haiku-4-5")
    profile = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
    planner.record_models([parse_model_id(profile)])
    (resolved,) = planner.plan("claude-haiku-4-5")
    assert (resolved.model.raw, resolved.is_unresolved, resolved.by_profile) == (profile, False, False)
    assert planner.plan("claude-haiku-4-5")[0] is resolved
    assert [planner.plan(name)[0].model.raw for name in ("fast", "bedrock/claude-haiku-4-5")] == [profile] * 2
    # a name of the deployment's own
    assert planner.plan("claude-opus-4-8")[0].model.raw == "amazon.nova-pro-v1:0"
    planner.forget_names_of(profile)
    assert planner.plan("claude-haiku-4-5")[0].is_unresolved


def test_targets_in_other_regions_resolve_short_names_by_their_region() -> None:
    elsewhere = UpstreamLocation("us-west-2")
    planner = Planner("z.z", routes={"both": Route((Choice("claude-sonnet-5"), Choice("claude-sonnet-5", elsewhere)))})
    planner.record_models([parse_model_id("eu.anthropic.claude-sonnet-5")])
    assert [target.model.raw for target in planner.plan("both")] == [
        "eu.anthropic.claude-sonnet-5",
        "us.anthropic.claude-sonnet-5",
    ]
    assert not any(target.is_unresolved for target in planner.plan("both"))


@pytest.mark.parametrize(
    ("name", "model", "is_extended"),
    [
        ("claude-sonnet-4-5[1m]", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0[1m]", "us.anthropic.claude-sonnet-4-20250514-v1:0", True),
        ("claude-opus-4-8[1m]", "us.anthropic.claude-opus-4-8", False),
        ("mine[1m]", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("[1m]", "z.z", False),
    ],
)
def test_a_long_context_is_requested_where_the_model_has_it_by_beta_only(
    name: str, model: str, is_extended: bool
) -> None:
    planner = Planner("z.z", {"mine": "us.anthropic.claude-sonnet-4-5-20250929-v1:0"}, region="us-east-1")
    (target,) = planner.plan(name)
    assert (target.model.raw, target.capabilities.context.is_extended) == (model, is_extended)
    planned = planner.plan_for(name)
    assert planned is not None
    assert (planned.is_renamed, planned.needs_beta) == (True, is_extended)
    with pytest.raises(InvalidRequest):
        planner.plan(f"{name}[1m]")
