from typing import Any

from app.models.catalog import CatalogEntry, merge_catalog, short_entries
from app.models.ids import parse_model_id
from app.models.short_names import short_names_of


def model(model_id: str, **changes: Any) -> dict[str, Any]:
    return {"modelId": model_id, "outputModalities": ["TEXT"], "inferenceTypesSupported": ["ON_DEMAND"], **changes}


def profile(profile_id: str, member: str, **changes: Any) -> dict[str, Any]:
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{member}"
    return {
        "inferenceProfileId": profile_id,
        "type": "SYSTEM_DEFINED",
        "status": "ACTIVE",
        "models": [{"modelArn": arn}],
        **changes,
    }


def test_only_models_that_can_be_called_are_listed() -> None:
    models = [
        model("b.text", modelLifecycle={"status": "ACTIVE", "startOfLifeTime": "2026-01-01T00:00:00Z"}),
        model("a.dated", modelLifecycle={"startOfLifeTime": 12.5}),
        model("x.undated", modelLifecycle={"startOfLifeTime": "one day"}),
        model("c.embedding", outputModalities=["EMBEDDING"]),
        model("d.legacy", modelLifecycle={"status": "LEGACY"}),
        model("e.by-profile", inferenceTypesSupported=["INFERENCE_PROFILE"]),
        model("f.provisioned", inferenceTypesSupported=["PROVISIONED"]),
    ]
    profiles = [
        profile("us.e.by-profile", "e.by-profile"),
        profile("us.c.embedding", "c.embedding"),
        profile("mine", "b.text", type="APPLICATION"),
        profile("us.b.text", "b.text", status="INACTIVE"),
    ]
    assert merge_catalog(models, profiles) == [
        CatalogEntry("a.dated", "a", 12, "a.dated"),
        CatalogEntry("b.text", "b", 1767225600, "b.text"),
        CatalogEntry("us.e.by-profile", "e", 0, "e.by-profile (us)"),
        CatalogEntry("x.undated", "x", 0, "x.undated"),
    ]


def test_entries_have_titles_dates_and_lines_for_people() -> None:
    haiku, opus = "anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-opus-5-5"
    older, newer = "anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20241022-v2:0"
    models = [
        model(haiku, modelName="Claude Haiku 4.5", inferenceTypesSupported=["INFERENCE_PROFILE"]),
        model(opus, modelName="Claude Opus 5.5"),
        model(older, modelName="Claude 3.5 Sonnet"),
        model(newer, modelName="Claude 3.5 Sonnet v2"),
        model("a.b-20259999"),
    ]
    entries = merge_catalog(models, [profile(f"us.{haiku}", haiku)])
    listed = {entry.id: (entry.title, entry.created, entry.line) for entry in entries}
    assert listed[f"us.{haiku}"] == ("Claude Haiku 4.5 (us)", 1759276800, "haiku")
    assert listed[opus] == ("Claude Opus 5.5", 0, "opus")
    assert listed["a.b-20259999"] == ("a.b-20259999", 0, "")
    names = short_names_of(parse_model_id(entry.id) for entry in entries)
    assert [(entry.id, entry.title, entry.line) for entry in short_entries(names, entries)] == [
        ("claude-3-5-sonnet", "Claude 3.5 Sonnet v2", "sonnet"),
        ("claude-3-5-sonnet-20240620", "Claude 3.5 Sonnet", "sonnet"),
        ("claude-haiku-4-5", "Claude Haiku 4.5", "haiku"),
        ("claude-opus-5-5", "Claude Opus 5.5", "opus"),
    ]
    assert short_entries({"claude-opus-4-8": "us.anthropic.claude-opus-4-8"}, entries) == []
