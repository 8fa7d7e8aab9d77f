"""Names in the configuration file, and the refusal of those that are never looked up."""

import pytest

from app.composition.deployment import planner_of, quotas_without_effect
from app.config.settings import SettingsError
from tests.servers import gateway_settings

OWN = '[aliases]\nfast = "us.a.b"\n[routes.smart]\ntargets = [{ model = "us.c.d" }, { model = "e.f" }]\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[limits.fast]\ntotal = 5", "limits.fast: a limit is found by the name of a model or by its base id"),
        (
            "[quotas.fast]\ntokens_per_minute = 5",
            "quotas.fast: a quota is found by the name by which a model is called",
        ),
        ("[quotas.smart]\ntokens_per_minute = 5", "write e.f or us.c.d"),
        ("[limits.fast]\ntotal = 5", "write a.b or us.a.b"),
        ("[limits.smart]\ntotal = 5", "write c.d or e.f or us.c.d"),
        ("[limits.default]\ntotal = 5", "or route of this deployment: write what it stands for"),
        ('[limits."arn:aws:s3:::x"]\ntotal = 5', "limits.arn:aws:s3:::x: the model's ARN is not one"),
        ('[models.fast]\nstands_for = "g.h"', "models.fast: fast is an alias or route of this deployment"),
        ('[models."arn:aws:s3:::x"]\nstands_for = "g.h"', "models.arn:aws:s3:::x: the model's ARN is not one"),
    ],
)
def test_a_table_under_a_name_that_is_never_looked_up_is_refused(text: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        planner_of(gateway_settings("http://127.0.0.1:1", config_toml=OWN + text))
    (told,) = caught.value.faults
    assert fault in told


@pytest.mark.parametrize("name", ["us.a.b", "a.b", "c.d", "x.y"])
def test_limits_are_by_a_model_s_own_name_or_its_base_id(name: str) -> None:
    text = f'{OWN}[routes."c.d"]\ntargets = [{{ model = "us.c.d" }}]\n[limits."{name}"]\ntotal = 5'
    assert planner_of(gateway_settings("http://127.0.0.1:1", config_toml=text)).limits[name].total == 5


def test_the_length_of_claude_s_answers_is_a_setting_and_a_limit_of_a_model() -> None:
    claude, other = "us.anthropic.claude-sonnet-4-6", "us.anthropic.claude-opus-4-8"
    text = f'[limits."{claude}"]\ndefault_max_tokens = 5000'
    planner = planner_of(gateway_settings("http://127.0.0.1:1", config_toml=text, default_max_tokens=9000))
    lengths = [planner.plan(name)[0].capabilities.output.default_length for name in (claude, other, "x.y")]
    assert lengths == [5000, 9000, 0]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            '[quotas."claude-sonnet-4-5"]\ntokens_per_minute = 5',
            "line 5: quotas.claude-sonnet-4-5: has no effect, as Bedrock knows no short names: did you mean "
            "'us.anthropic.claude-sonnet-4-5-20250929-v1:0'?",
        ),
        (
            '[quotas."us.a.b"]\ntokens_per_minute = 5\nregions.us-esat-1 = { tokens_per_minute = 1 }',
            "line 7: quotas.us.a.b.regions.us-esat-1: has no effect, as no target is in this region: did you mean "
            "'us-east-1'?",
        ),
        (
            '[quotas."us.a.b"]\ntokens_per_minute = 5\nregions.ap-south-1 = { tokens_per_minute = 1 }',
            "line 7: quotas.us.a.b.regions.ap-south-1: has no effect, as no target is in this region",
        ),
        ('[quotas."us.a.b"]\ntokens_per_minute = 5\nregions.us-east-1 = { tokens_per_minute = 1 }', None),
        ('[quotas."us.a.b"]\ntokens_per_minute = 5\nregions.eu-west-1 = { tokens_per_minute = 1 }', None),
    ],
)
def test_a_quota_that_no_call_takes_from_is_warned_of(text: str, warning: str | None) -> None:
    routes = '[aliases]\nfast = "us.a.b"\n[routes.smart]\ntargets = [{ model = "us.a.b", region = "eu-west-1" }]\n'
    settings = gateway_settings("http://127.0.0.1:1", config_toml=routes + text)
    warnings = quotas_without_effect(settings, planner_of(settings))
    assert warnings == ([] if warning is None else [f"CONFIG_TOML: {warning}"])
