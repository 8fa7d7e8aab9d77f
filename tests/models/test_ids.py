import pytest

from app.errors import InvalidRequest
from app.models.ids import parse_model_id


@pytest.mark.parametrize(
    ("raw", "base", "geography", "kind"),
    [
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0", "", ""),
        ("us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0", "us", ""),
        ("us-gov.anthropic.claude-x", "anthropic.claude-x", "us-gov", ""),
        ("global.anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5", "global", ""),
        ("us.model", "us.model", "", ""),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
            "",
            "foundation-model",
        ),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
            "eu",
            "inference-profile",
        ),
    ],
)
def test_a_model_name_is_parsed(raw: str, base: str, geography: str, kind: str) -> None:
    model = parse_model_id(raw)
    assert (model.raw, model.base, model.geography, model.arn_kind, model.is_opaque) == (
        raw,
        base,
        geography,
        kind,
        False,
    )


@pytest.mark.parametrize(
    "kind", ["application-inference-profile", "provisioned-model", "imported-model", "custom-model-deployment"]
)
def test_an_arn_that_hides_its_model_is_opaque(kind: str) -> None:
    raw = f"arn:aws:bedrock:us-east-1:123456789012:{kind}/abc123"
    model = parse_model_id(raw)
    assert model.is_opaque
    assert model.quoted == raw.replace(":", "%3A").replace("/", "%2F")


@pytest.mark.parametrize("raw", ["", "a b", "a\n", "arn:aws:s3:::bucket", "x" * 2049, "m?x=1", "m#x", "modèle"])
def test_an_illegal_model_name_is_refused(raw: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_model_id(raw)
    assert caught.value.param == "model"
