"""The names by which vendors sell their models themselves, and the ids of Bedrock that they stand for.

Bedrock's id is the vendor's name between the provider and a version of Bedrock's own, so the lists of a region tell
what a name stands for. Without lists, rules do: Claude is called by the inference profile of the region's geography,
and OpenAI's models, and Claude that only mantle serves, by base id.

Sources, all of 2026-11: Anthropic's model overview and Claude on Amazon Bedrock; AWS user guide, models by id; OpenAI's
page of GPT-5.6.
"""

import re
from collections.abc import Iterable

from app.models.capabilities import capabilities_of
from app.models.ids import GEOGRAPHIES, ModelId, parse_model_id, without_prefix

LONG_CONTEXT = "[1m]"
# by the beginning of a name
_PROVIDERS = {"claude-": "anthropic", "gpt-": "openai"}
_BEDROCKS_VERSION = re.compile(r"-v(\d+)(:\d+)?\Z|-(\d+):\d+\Z")
_DATE = re.compile(r"-(20\d{6}|20\d\d-\d\d-\d\d)\Z")
# Claude before 4.6 has a date in its id, and Claude from 4.6 on has none
_DATED = re.compile(r"claude-(3-.+|[a-z]+-4(-[1-5])?)-20\d{6}\Z")
# endings of the vendors' aliases: the newest of a line, and the first of one
_ALIAS = re.compile(r"-latest\Z|(?<=-4)-0\Z")
_OF_OPENAI = re.compile(r"gpt-(5\.([6-9]|\d\d)|([6-9]|\d\d)(\.\d+)?)\Z")
# OpenAI's name without a tier stands for this one from GPT-5.6 on
_MAIN_TIER = "-sol"
# ids that follow no rule
_IDS = {
    "claude-3-haiku": "claude-3-haiku-20240307-v1:0",
    "claude-3-5-sonnet": "claude-3-5-sonnet-20241022-v2:0",
    "claude-3-5-sonnet-20241022": "claude-3-5-sonnet-20241022-v2:0",
    "claude-3-5-haiku": "claude-3-5-haiku-20241022-v1:0",
    "claude-3-7-sonnet": "claude-3-7-sonnet-20250219-v1:0",
    "claude-sonnet-4": "claude-sonnet-4-20250514-v1:0",
    "claude-opus-4": "claude-opus-4-20250514-v1:0",
    "claude-opus-4-1": "claude-opus-4-1-20250805-v1:0",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929-v1:0",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001-v1:0",
    "claude-opus-4-5": "claude-opus-4-5-20251101-v1:0",
    "claude-opus-4-6": "claude-opus-4-6-v1",
    "gpt-oss-120b": "gpt-oss-120b-1:0",
    "gpt-oss-20b": "gpt-oss-20b-1:0",
}
_GEOGRAPHIES_OF_REGIONS = {
    "us-gov-": "us-gov",
    "us-": "us",
    "ca-": "us",
    "eu-": "eu",
    "ap-northeast-1": "jp",
    "ap-northeast-3": "jp",
    "ap-southeast-2": "au",
    "ap-southeast-4": "au",
    "ap-": "apac",
}


def is_short(name: str) -> bool:
    """True if a name begins as a vendor's own names do, which no id of Bedrock does."""
    return name.startswith(tuple(_PROVIDERS))


def geography_of(region: str) -> str:
    """Return the geography whose inference profiles a region most likely has."""
    return next((found for start, found in _GEOGRAPHIES_OF_REGIONS.items() if region.startswith(start)), "global")


def id_by_rule(name: str, region: str) -> str:
    """Return the id that a short name most likely stands for in a region whose lists are not known."""
    provider = _provider(name)
    stem = _ALIAS.sub("", name)
    undated = _DATE.sub("", stem)
    if provider == "anthropic":
        found = _IDS.get(stem) or (f"{stem}-v1:0" if _DATED.match(stem) else undated)
        base = f"{provider}.{found}"
        # mantle has no inference profiles
        is_on_mantle = capabilities_of(parse_model_id(base)).native.translated_to != "converse"
        return base if is_on_mantle else f"{geography_of(region)}.{base}"
    main = f"{undated}{_MAIN_TIER}" if _OF_OPENAI.match(undated) else undated
    return f"{provider}.{_IDS.get(undated, main)}"


def short_names_of(models: Iterable[ModelId]) -> dict[str, str]:
    """Return the ids that short names stand for, by name.

    A name without a date stands for the newest model of that name. A model is called by its narrowest inference
    profile, or by its base id if it has none.

    Args:
        models: the base ids and the inference profiles that a region has.
    """
    narrowest: dict[str, ModelId] = {}
    for model in models:
        if model.base not in narrowest or _width(model) < _width(narrowest[model.base]):
            narrowest[model.base] = model
    found: dict[str, tuple[str, str, str]] = {}
    for base, model in narrowest.items():
        provider, _, rest = base.partition(".")
        version = _BEDROCKS_VERSION.search(rest)
        name = _BEDROCKS_VERSION.sub("", rest)
        if not is_short(name) or _provider(name) != provider or ":" in name:
            continue
        date = _DATE.search(name)
        order = (date[1] if date else "", version[0] if version else "")
        for each in (name, _DATE.sub("", name)):
            found[each] = max(found.get(each, ("", "", "")), (*order, model.raw))
    return {name: raw for name, (*_, raw) in found.items()}


def resolve(name: str, known: dict[str, str]) -> str | None:
    """Return the id that a short name stands for, or None if the lists have no such model.

    A name with a date stands for the model without one if the lists have no dates, but never for one of another date.

    Args:
        known: as `short_names_of` returns it.
    """
    stem = _ALIAS.sub("", name)
    undated = _DATE.sub("", stem)
    for each in (name, stem, f"{stem}{_MAIN_TIER}"):
        if each in known:
            return known[each]
    for each in (undated, f"{undated}{_MAIN_TIER}"):
        if each in known and _DATE.search(_BEDROCKS_VERSION.sub("", known[each])) is None:
            return known[each]
    return None


def names_of(model: ModelId) -> frozenset[str]:
    """Return the names by which a model may be meant: its ids, and its vendor's names, with version and date or not."""
    if model.is_opaque:
        return frozenset({model.raw})
    of_vendor = model.base.partition(".")[2]
    dated = _BEDROCKS_VERSION.sub("", of_vendor)
    names = {model.raw, model.base, of_vendor, dated, _DATE.sub("", dated)}
    if model.geography:
        names.add(f"{model.geography}.{model.base}")
    return frozenset(names - {""})


def names_in(called: str) -> frozenset[str]:
    """Return a name that a caller used, and the same without what may stand around it."""
    plain = called.removesuffix(LONG_CONTEXT)
    return frozenset({plain, without_prefix(plain)})


def _provider(name: str) -> str:
    return next((provider for start, provider in _PROVIDERS.items() if name.startswith(start)), "")


def _width(model: ModelId) -> int:
    return GEOGRAPHIES.index(model.geography) if model.geography else len(GEOGRAPHIES)
