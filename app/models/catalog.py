"""The models that the account can call, from the lists of the control plane."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from app.models.ids import ModelId, parse_model_id
from app.wire.json import JsonObject


class CatalogEntry(Struct, frozen=True):
    """A name that a caller may use. `created` is seconds since the epoch, 0 where AWS names no date."""

    id: str
    owner: str
    created: int = 0


def merge_catalog(models: Iterable[JsonObject], profiles: Iterable[JsonObject]) -> list[CatalogEntry]:
    """Return the text models that can be called by id, and the system's inference profiles over text models.

    Args:
        models: `modelSummaries` of ListFoundationModels.
        profiles: `inferenceProfileSummaries` of ListInferenceProfiles.
    """
    text_models = {
        model["modelId"]: model
        for model in models
        if "TEXT" in model.get("outputModalities", []) and _is_active(model.get("modelLifecycle", {}).get("status"))
    }
    entries = {
        model_id: CatalogEntry(model_id, _owner(model_id), _created(model))
        for model_id, model in text_models.items()
        if _is_on_demand(model)
    }
    for profile in profiles:
        profile_id = profile["inferenceProfileId"]
        members = [member["modelArn"].rpartition("/")[2] for member in profile.get("models", [])]
        known = [member for member in members if member in text_models]
        if profile.get("type") == "SYSTEM_DEFINED" and _is_active(profile.get("status")) and known:
            entries[profile_id] = CatalogEntry(profile_id, _owner(known[0]), _created(text_models[known[0]]))
    return sorted(entries.values(), key=lambda entry: entry.id)


def system_profiles(profiles: Iterable[JsonObject]) -> list[ModelId]:
    """Return the system's active inference profiles, over models of every kind."""
    active = (
        parse_model_id(profile["inferenceProfileId"])
        for profile in profiles
        if profile.get("type") == "SYSTEM_DEFINED" and _is_active(profile.get("status"))
    )
    return [profile for profile in active if profile.geography]


def models_on_demand(models: Iterable[JsonObject]) -> list[ModelId]:
    """Return the models that can be called by base id, those that AWS will end included."""
    return [parse_model_id(model["modelId"]) for model in models if _is_on_demand(model)]


def _is_active(status: str | None) -> bool:
    return status in (None, "ACTIVE")


def _is_on_demand(model: JsonObject) -> bool:
    return "ON_DEMAND" in model.get("inferenceTypesSupported", ["ON_DEMAND"])


def _owner(model_id: str) -> str:
    return model_id.partition(".")[0]


def _created(model: JsonObject) -> int:
    start = model.get("modelLifecycle", {}).get("startOfLifeTime")
    if isinstance(start, int | float):
        return int(start)
    try:
        return int(datetime.fromisoformat(start).timestamp()) if isinstance(start, str) else 0
    except ValueError:
        return 0
