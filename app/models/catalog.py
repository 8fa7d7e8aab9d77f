"""The models that the account can call, from the lists of the control plane."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from app.models.ids import ModelId, parse_model_id
from app.wire.json import JsonObject

_LINE = re.compile(r"anthropic\.claude-(?:[0-9-]+-)?(haiku|sonnet|opus|fable|mythos)\b")
_DATE = re.compile(r"-(20\d{6})\b")


class CatalogEntry(Struct, frozen=True):
    """A name that a caller may use.

    created: seconds since the epoch, 0 where neither AWS nor the id names a date. title: for people.
    line: of Claude's models, such as `opus`; empty for others.
    """

    id: str
    owner: str
    created: int = 0
    title: str = ""
    line: str = ""


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
        model_id: _entry(parse_model_id(model_id), model)
        for model_id, model in text_models.items()
        if _is_on_demand(model)
    }
    for profile in profiles:
        profile_id = profile["inferenceProfileId"]
        members = [member["modelArn"].rpartition("/")[2] for member in profile.get("models", [])]
        known = [member for member in members if member in text_models]
        if profile.get("type") == "SYSTEM_DEFINED" and _is_active(profile.get("status")) and known:
            entries[profile_id] = _entry(parse_model_id(profile_id), text_models[known[0]])
    return sorted(entries.values(), key=lambda entry: entry.id)


def short_entries(short_names: Mapping[str, str], listed: Iterable[CatalogEntry]) -> list[CatalogEntry]:
    """Return an entry for each listed model that has a short name, by its shortest one.

    Args:
        short_names: the ids that short names stand for, by name.
    """
    by_id = {entry.id: entry for entry in listed}
    # the longest first, so that the shortest stays
    shortest = {model: name for name, model in sorted(short_names.items(), key=lambda item: -len(item[0]))}
    found = [
        replace(by_id[model], id=name, title=by_id[model].title.removesuffix(f" ({parse_model_id(model).geography})"))
        for model, name in shortest.items()
        if model in by_id
    ]
    return sorted(found, key=lambda entry: entry.id)


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


def _entry(called: ModelId, model: JsonObject) -> CatalogEntry:
    """Return the entry of a model, or of an inference profile over it."""
    line = _LINE.match(called.base)
    title = model.get("modelName") or called.base
    return CatalogEntry(
        called.raw,
        called.base.partition(".")[0],
        _created(model) or _date_in(called.base),
        f"{title} ({called.geography})" if called.geography else title,
        line[1] if line else "",
    )


def _date_in(base: str) -> int:
    """Return the date that an id holds, in seconds since the epoch, or 0."""
    found = _DATE.search(base)
    try:
        return int(datetime.strptime(f"{found[1]}+0000", "%Y%m%d%z").timestamp()) if found else 0
    except ValueError:
        return 0


def _created(model: JsonObject) -> int:
    start = model.get("modelLifecycle", {}).get("startOfLifeTime")
    if isinstance(start, int | float):
        return int(start)
    try:
        return int(datetime.fromisoformat(start).timestamp()) if isinstance(start, str) else 0
    except ValueError:
        return 0
