"""Which ids of Bedrock the vendors' names for their models stand for."""

import pytest

from app.models.ids import parse_model_id
from app.models.short_names import geography_of, id_by_rule, is_short, resolve, short_names_of

LISTED = [
    "anthropic.claude-sonnet-4-6",
    "global.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-opus-4-6-v1",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "anthropic.claude-3-5-sonnet-20240620-v1:0",
    "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "anthropic.claude-sonnet-4-20250514-v1:0",
    "anthropic.claude-v2:1",
    "anthropic.claude-3-haiku-20240307-v1:0:48k",
    "amazon.nova-lite-v1:0",
    "openai.gpt-oss-120b-1:0",
    "us.openai.gpt-5.6-sol",
    "us.openai.gpt-5.6-terra",
    "global.openai.gpt-5.6-terra",
    "someone.claude-sonnet-9",
]
NAMES = short_names_of(map(parse_model_id, LISTED))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-sonnet-4-6", "us.anthropic.claude-sonnet-4-6"),
        ("claude-sonnet-4-6-20260217", "us.anthropic.claude-sonnet-4-6"),
        ("claude-sonnet-4-6-latest", "us.anthropic.claude-sonnet-4-6"),
        ("claude-opus-4-6", "us.anthropic.claude-opus-4-6-v1"),
        ("claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("claude-sonnet-4-5-20250929", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("claude-sonnet-4-0", "anthropic.claude-sonnet-4-20250514-v1:0"),
        ("claude-3-5-sonnet-latest", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("claude-3-5-sonnet-20240620", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("gpt-oss-120b", "openai.gpt-oss-120b-1:0"),
        ("gpt-5.6", "us.openai.gpt-5.6-sol"),
        ("gpt-5.6-2026-07-09", "us.openai.gpt-5.6-sol"),
        ("gpt-5.6-terra", "us.openai.gpt-5.6-terra"),
        # of another date, of a region that lacks it, misspelled, of another vendor, a version that is too old
        ("claude-sonnet-4-5-20250101", None),
        ("claude-opus-4-5", None),
        ("claude-sonet-4-6", None),
        ("claude-sonnet-9", None),
        ("claude", None),
    ],
)
def test_lists_of_a_region_resolve_names_dated_and_undated(name: str, model: str | None) -> None:
    assert resolve(name, NAMES) == model


@pytest.mark.parametrize(
    ("name", "region", "model"),
    [
        ("claude-sonnet-5-5", "eu-central-1", "eu.anthropic.claude-sonnet-5-5"),
        ("claude-opus-4-8-20260401", "us-west-2", "us.anthropic.claude-opus-4-8"),
        ("claude-opus-4-6", "us-gov-west-1", "us-gov.anthropic.claude-opus-4-6-v1"),
        ("claude-haiku-4-5-latest", "ap-northeast-1", "jp.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-opus-4-0", "ap-southeast-1", "apac.anthropic.claude-opus-4-20250514-v1:0"),
        ("claude-opus-4-1-20250805", "sa-east-1", "global.anthropic.claude-opus-4-1-20250805-v1:0"),
        ("claude-3-5-sonnet-20241022", "us-east-1", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("gpt-oss-20b", "us-east-1", "openai.gpt-oss-20b-1:0"),
        ("gpt-5.6", "us-east-1", "openai.gpt-5.6-sol"),
        ("gpt-6.1-2026-09-29", "us-east-1", "openai.gpt-6.1-sol"),
        ("gpt-5.6-luna", "us-east-1", "openai.gpt-5.6-luna"),
        ("gpt-5.5", "us-east-1", "openai.gpt-5.5"),
        ("claude-mythos-5", "eu-west-1", "anthropic.claude-mythos-5"),
        ("claude-mythos-5-1", "eu-west-1", "eu.anthropic.claude-mythos-5-1"),
    ],
)
def test_rules_resolve_names_where_no_list_is_known(name: str, region: str, model: str) -> None:
    assert id_by_rule(name, region) == model


@pytest.mark.parametrize("name", [*LISTED, "arn:aws:bedrock:us-east-1::foundation-model/a.b", "default", "", "smart"])
def test_no_id_of_bedrock_is_taken_for_a_short_name(name: str) -> None:
    assert not is_short(name)


def test_regions_without_a_geography_of_their_own_use_global_profiles() -> None:
    assert [geography_of(region) for region in ("ca-central-1", "me-central-1", "")] == ["us", "global", "global"]
