"""Models: what can be called by which API, what each accepts, and what it costs."""

from __future__ import annotations

from msgspec import Struct, structs
from starlette.responses import Response

from app.console.page_spec import PageSpec
from app.console.visit import Refused, Visit
from app.dialects.shared_paths.model_list import listed_models
from app.errors import InvalidRequest
from app.models.capabilities import Capabilities
from app.models.families import FAMILIES
from app.routing.planner import Target

TITLE = "Models"
_PER_PAGE = 100
_BODY_FORMATS = {
    "anthropic": "Messages, as they are",
    "openai_responses": "Responses, as they are",
    "openai_chat": "Chat Completions, as they are",
}


class ShownModel(Struct, frozen=True):
    """A name that can be called. native: the APIs whose bodies cross unchanged. breaker: empty if it is closed."""

    name: str
    title: str
    owner: str
    target: Target
    native: list[str]
    input: float | None
    output: float | None
    breaker: str

    @property
    def accepts(self) -> list[str]:
        """What the model accepts, in a few words."""
        capabilities = self.target.capabilities
        words = {
            "tools": capabilities.tools.accepted,
            "reasoning": capabilities.reasoning.request != "none",
            "caching": capabilities.caching.accepted,
            "JSON schema": capabilities.schemas.structured_output == "native",
        }
        return [word for word, holds in words.items() if holds]


async def show_models(visit: Visit) -> Response:
    """List the models."""
    wanted = visit.query("search").lower()
    offset = visit.query("offset", "0")
    start = int(offset) if offset.isdecimal() and len(offset) < 6 else 0
    gateway = visit.parts.gateway
    entries = await listed_models(gateway.directory, gateway.executor.planner, gateway.mantle_models)
    found = [each for each in entries if wanted in f"{each.id} {each.title} {each.owner}".lower()]
    breakers = gateway.breakers()
    rows = [_shown(visit, each.id, each.title, each.owner, breakers) for each in found[start : start + _PER_PAGE]]
    return visit.page(
        "models.html",
        TITLE,
        rows=[row for row in rows if row is not None],
        search=visit.query("search"),
        count=len(found),
        offset=start,
        per_page=_PER_PAGE,
        next_offset=start + _PER_PAGE if len(found) > start + _PER_PAGE else None,
    )


def _shown(visit: Visit, name: str, title: str, owner: str, breakers: dict[str, str]) -> ShownModel | None:
    gateway = visit.parts.gateway
    try:
        target = gateway.executor.planner.plan(name)[0]
    except InvalidRequest:
        return None
    priced = gateway.prices.price_of(target.model.raw, target.model_behind.raw)
    price, factor = priced if priced is not None else (None, 1.0)
    return ShownModel(
        name,
        title,
        owner,
        target,
        [label for each, label in _BODY_FORMATS.items() if each in target.native_formats],
        price.input * factor if price else None,
        price.output * factor if price else None,
        breakers.get(target.model.raw, ""),
    )


async def show_model(visit: Visit) -> Response:
    """Show one model, with each capability and the evidence for them."""
    name = visit.request.path_params["name"]
    gateway = visit.parts.gateway
    shown = _shown(visit, name, "", "", gateway.breakers())
    if shown is None or len(name) > 2048:
        raise Refused(404, "No model can have this name.")
    known = shown.target.model_behind
    row = next((row for row in FAMILIES if row.pattern.match(known.base)), None)
    return visit.page(
        "model.html",
        TITLE,
        shown=shown,
        targets=gateway.executor.planner.plan(name),
        evidence=row.evidence if row is not None else "",
        groups=_groups(shown.target.capabilities),
    )


def _groups(capabilities: Capabilities) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Return the capabilities by group: name, value, and whether it differs from the default."""
    default = Capabilities()
    groups = []
    for group in structs.fields(Capabilities):
        mine, usual = getattr(capabilities, group.name), getattr(default, group.name)
        if not isinstance(mine, Struct):
            continue
        rows = [
            (_words(name), _value(value), value != getattr(usual, name)) for name, value in structs.asdict(mine).items()
        ]
        groups.append((_words(group.name), rows))
    return groups


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset | tuple | list):
        return ", ".join(sorted(map(str, value))) or "none"
    if isinstance(value, int) and value > 10**15:
        return "not known"
    return str(value) if value not in (None, "") else "none"


PAGES = (
    PageSpec("GET", "/models", show_models, TITLE),
    PageSpec("GET", "/models/{name:path}", show_model, TITLE),
)
