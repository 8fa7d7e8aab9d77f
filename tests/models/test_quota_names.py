"""Which models the quotas of Service Quotas are for."""

import pytest

from app.bedrock.service_quotas import ServiceQuota
from app.governance.quotas.aws_limits import limits_from_aws
from app.models.catalog import CatalogEntry
from app.models.quota_names import ModelNames, parse_quota_name

SONNET_45 = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def entry(model: str, title: str) -> CatalogEntry:
    return CatalogEntry(model, model.split(".")[-2], title=title)


ENTRIES = [
    entry(f"us.{SONNET_45}", "Claude Sonnet 4.5 (us)"),
    entry(f"jp.{SONNET_45}", "Claude Sonnet 4.5 (jp)"),
    entry(f"global.{SONNET_45}", "Claude Sonnet 4.5 (global)"),
    entry("us.anthropic.claude-sonnet-4-20250514-v1:0", "Claude Sonnet 4 (us)"),
    entry("us.anthropic.claude-haiku-4-5-20251001-v1:0", "Claude Haiku 4.5 (us)"),
    entry("amazon.nova-pro-v1:0", "Nova Pro"),
    entry("us.amazon.nova-pro-v1:0", "Nova Pro (us)"),
    entry("meta.llama3-1-8b-instruct-v1:0", "Llama 3.1 8B Instruct"),
    entry("meta.llama3-8b-instruct-v1:0", "Llama 3 8B Instruct"),
    entry("qwen.a", "Twin"),
    entry("qwen.b", "Twin"),
]
GEO, GLOBAL, BASE = (
    f"{name} model inference tokens per minute for " for name in ("Cross-region", "Global cross-region", "On-demand")
)


def found(*rows: tuple[str, str, float]) -> dict[str, int | None]:
    quotas = [ServiceQuota(code, name, value, "applied") for code, name, value in rows]
    limits = limits_from_aws(quotas, ENTRIES, "us-east-1")
    assert {region for _, region, _ in limits} <= {"us-east-1"}
    return {name: each.tokens_per_minute for (name, _, _), each in limits.items()}


@pytest.mark.parametrize(
    ("name", "called"),
    [
        (f"{GEO}Anthropic Claude Sonnet 4.5 V1", [f"jp.{SONNET_45}", f"us.{SONNET_45}"]),
        (f"{GLOBAL}Anthropic Claude Sonnet 4.5 V1", [f"global.{SONNET_45}"]),
        (f"{GEO}Anthropic Claude Sonnet 4 V1", ["us.anthropic.claude-sonnet-4-20250514-v1:0"]),
        (f"{GEO}Anthropic Claude Haiku 4.5", ["us.anthropic.claude-haiku-4-5-20251001-v1:0"]),
        (f"{BASE}Amazon Nova Pro", ["amazon.nova-pro-v1:0"]),
        (f"{GEO}Amazon Nova Pro", ["us.amazon.nova-pro-v1:0"]),
        (f"{BASE}Meta Llama 3.1 8B Instruct", ["meta.llama3-1-8b-instruct-v1:0"]),
        (f"{BASE}Meta Llama 3 8B Instruct", ["meta.llama3-8b-instruct-v1:0"]),
        (f"{BASE}Alibaba Twin", []),
        (f"{BASE}Some Model That Nobody Has", []),
        (f"{GEO}Anthropic Claude Sonnet 4.5 V1 1M Context Length", []),
        ("Model invocation max tokens per day for Amazon Nova Pro", []),
        ("Batch inference job size (in GB) for Claude 3 Haiku", []),
    ],
)
def test_a_name_is_that_of_one_model_or_of_none(name: str, called: list[str]) -> None:
    assert sorted(found(("L-1", name, 1000))) == called


def test_a_known_code_counts_where_its_name_agrees() -> None:
    assert [*found(("L-27C57EE8", f"{GLOBAL}another name of it", 5))] == [f"global.{SONNET_45}"]
    assert found(("L-27C57EE8", f"{GEO}another name of it", 5)) == {}


def test_the_first_of_several_counts_and_requests_and_mantle_are_kept_apart() -> None:
    rows = [
        ServiceQuota("L-1", f"{BASE}Amazon Nova Pro", 2000, "applied"),
        ServiceQuota("L-2", "On-demand model inference requests per minute for Amazon Nova Pro", 50, "applied"),
        ServiceQuota("L-3", "[bedrock-mantle endpoint] Input tokens per minute for Amazon Nova Pro", 70, "default"),
        ServiceQuota("L-4", "[bedrock-mantle endpoint] Output tokens per minute for Amazon Nova Pro", 7, "default"),
        ServiceQuota("L-5", f"{BASE}Nova Pro", 1, "default"),
        ServiceQuota("L-6", f"{GEO}Nova Pro", 0, "default"),
    ]
    role = "arn:aws:iam::111122223333:role/x"
    ((key, limits),) = limits_from_aws(rows, ENTRIES, "eu-west-1", role).items()
    assert key == ("amazon.nova-pro-v1:0", "eu-west-1", role)
    assert (limits.tokens_per_minute, limits.requests_per_minute) == (2000, 50)
    assert (limits.input_tokens_per_minute, limits.output_tokens_per_minute) == (70, 7)
    assert limits.source == "Service Quotas, applied"


def test_a_part_of_a_name_is_no_name() -> None:
    """Sonnet must not get the quota of Haiku because both have the word Claude."""
    names = ModelNames(ENTRIES)
    parsed = parse_quota_name("", f"{GEO}Claude")
    assert parsed is not None
    assert names.base_of(parsed) == ""
