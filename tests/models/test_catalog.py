from typing import Any

from app.models.catalog import CatalogEntry, merge_catalog


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
        CatalogEntry("a.dated", "a", 12),
        CatalogEntry("b.text", "b", 1767225600),
        CatalogEntry("us.e.by-profile", "e"),
        CatalogEntry("x.undated", "x"),
    ]
