"""From the name that a caller used to the targets that may get the call."""

import logging
import random
import time
from collections.abc import Mapping
from typing import cast

from msgspec import Struct, field
from msgspec.structs import replace

from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.bedrock.transport import NO_WAITS, Waits
from app.errors import InvalidRequest, ModelDiffers
from app.models.capabilities import Capabilities, capabilities_of
from app.models.capability_values import CapabilityValues, merged, names_in
from app.models.ids import ModelId, parse_model_id

_log = logging.getLogger(__name__)

DEFAULT_ALIAS = "default"
_MAX_PROFILES = 4096
_MAX_OVERRIDES = 1024
# models change, and a lesson that is no longer true is told by nobody
_OVERRIDE_SECONDS = 3600.0


class Limits(Struct, frozen=True):
    """How long a model may take. waits: for one attempt. total: seconds for a request, all its attempts included."""

    waits: Waits = NO_WAITS
    total: float | None = None


NO_LIMITS = Limits()


class Target(Struct, frozen=True):
    """Where an attempt lands.

    model: as it is called. known: the model that it is, where `model` is an ARN that hides it; else `model` itself.
    place: the region and account. limits: those of the model, where it has its own.
    by_profile: the caller named the model, and the gateway its inference profile.
    """

    model: ModelId
    known: ModelId
    capabilities: Capabilities
    location: UpstreamLocation = DEFAULT_LOCATION
    by_profile: bool = False
    limits: Limits = NO_LIMITS

    @property
    def key(self) -> tuple[str, UpstreamLocation]:
        """What tells it from other targets, however its capabilities come to be known."""
        return self.model.raw, self.location

    def native_surface(self, body_format: str) -> str:
        """The surface that takes bodies of this format as they are, or nothing.

        Only InvokeModel knows ARNs that hide their model (AWS user guide, Responses API, 2026-11).
        """
        surface = self.capabilities.native.surface(body_format)
        return surface if surface == "invoke" or not self.model.is_opaque else ""

    @property
    def on_mantle(self) -> str:
        """The formats in which mantle has the model, in words; Converse need not have it. Empty if there are none."""
        return ", ".join(sorted(self.capabilities.native.formats("mantle"))).replace("_", " ")


class Choice(Struct, frozen=True):
    """One member of a route, as configured."""

    model: str
    location: UpstreamLocation = DEFAULT_LOCATION
    weight: int = 1


class Route(Struct, frozen=True):
    """A name for several targets: tried in their order, or in one drawn anew for each request by their weights."""

    choices: tuple[Choice, ...]
    is_weighted: bool = False

    def ordered(self) -> list[Choice]:
        """The choices in the order in which they are tried now."""
        if not self.is_weighted:
            return list(self.choices)
        # the first of a weighted draw without replacement is the choice with the greatest of these
        return sorted(self.choices, key=lambda choice: random.random() ** (1 / choice.weight), reverse=True)  # noqa: S311  # nosec B311


class Planner(Struct, frozen=True):
    """Resolves names.

    default_model: what the alias `default`, or no name at all, stands for.
    aliases: names that this deployment gives to models. routes: names that it gives to several targets.
    behind: the models behind ARNs that hide theirs, as configured, or as AWS told.
    limits: of models that have their own, by their names or their base ids.
    profiles: inference profiles, by the base ids of models that were seen to be sold only so.
    lessons: the capabilities by which models turned out to differ from what was thought, and until when that holds, by
        base id and place.
    """

    default_model: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    limits: Mapping[str, Limits] = field(default_factory=dict)
    behind: dict[str, ModelId] = field(default_factory=dict)
    profiles: dict[str, str] = field(default_factory=dict)
    overrides: dict[tuple[str, UpstreamLocation], tuple[float, CapabilityValues]] = field(default_factory=dict)

    def plan(self, name: str) -> list[Target]:
        """The targets for a name, in the order in which they are to be tried.

        Raises:
            InvalidRequest: the name cannot be one of a model.
        """
        return [self._by_profile(target) for target in self.as_named(name)]

    def as_named(self, name: str) -> list[Target]:
        """The same, each by the very name that it has in the route, or that the caller used. Raises as `plan` does."""
        route = self.routes.get(name or DEFAULT_ALIAS)
        choices = [Choice(self.model_behind(name) or name)] if route is None else route.ordered()
        return [self._target(choice) for choice in choices]

    def is_ours(self, name: str) -> bool:
        """True if this deployment gives the name."""
        return bool(name) and bool(self.model_behind(name))

    def knows(self, name: str) -> bool:
        """True if there is a plan for the name, which must not be empty."""
        try:
            return bool(name and self.plan(name))
        except InvalidRequest:
            return False

    def known_as(self, name: str) -> str:
        """What an answer calls its model: as the caller did, or else what is asked where nobody is named."""
        return name or self.model_behind("")

    def names(self) -> list[str]:
        """The names that this deployment gives, in their order."""
        return sorted({*self.aliases, *self.routes} - {DEFAULT_ALIAS})

    def known(self, called: str) -> ModelId:
        """The model behind the name that one is called by, as far as it is known; most names hide nothing.

        Raises:
            InvalidRequest: the name cannot be one of a model.
        """
        return self.behind.get(called) or parse_model_id(called)

    def remember(self, name: str, profile: str) -> None:
        """A model that is called by a name is sold only by a profile."""
        if len(self.profiles) < _MAX_PROFILES:
            self.profiles[name] = profile

    def forget(self, name: str) -> None:
        """Remember a profile no longer: it was refused."""
        for model in [model for model, profile in self.profiles.items() if profile == name]:
            del self.profiles[model]

    def record_override(self, target: Target, error: ModelDiffers) -> Target | None:
        """The target with the capabilities that its model's refusal tells of; nothing where that was known already."""
        values = cast(CapabilityValues, error.values)
        capabilities = target.capabilities.with_values(values)
        if capabilities == target.capabilities:
            return None
        key, now = self._key(target.model, target.known, target.location), time.monotonic()
        if error.is_lasting and (key in self.overrides or len(self.overrides) < _MAX_OVERRIDES):
            until, known = self.overrides.get(key, (0.0, {}))
            until, known = (until, known) if now < until else (now + _OVERRIDE_SECONDS, {})
            self.overrides[key] = until, merged(known, values)
            told = {"model": target.known.base, "capabilities": names_in(values)}
            _log.info("a model differs from what was thought", extra={"fields": told})
        return replace(target, capabilities=capabilities)

    def model_behind(self, name: str) -> str:
        """The model that a name stands for, or nothing where it stands for itself; of a route, its first."""
        name = name or DEFAULT_ALIAS
        if name in self.routes:
            return self.routes[name].choices[0].model
        if name in self.aliases:
            return self.aliases[name]
        return self.default_model if name == DEFAULT_ALIAS else ""

    def _target(self, choice: Choice) -> Target:
        model = parse_model_id(choice.model)
        known = self.known(model.raw)
        limits = self.limits.get(model.raw) or self.limits.get(known.base, NO_LIMITS)
        capabilities = capabilities_of(known)
        if self.overrides:
            until, values = self.overrides.get(self._key(model, known, choice.location), (0.0, {}))
            capabilities = capabilities.with_values(values) if time.monotonic() < until else capabilities
        return Target(model, known, capabilities, choice.location, limits=limits)

    @staticmethod
    def _key(model: ModelId, known: ModelId, location: UpstreamLocation) -> tuple[str, UpstreamLocation]:
        """What lessons hold for: a model by whichever profile it is called, but a deployment of its own apart."""
        return model.raw if model.is_opaque else known.base, location

    def _by_profile(self, target: Target) -> Target:
        """The target, by the inference profile by which its model is known to be sold."""
        profile = self.profiles.get(target.model.raw) if target.location == DEFAULT_LOCATION else None
        return target if profile is None else replace(target, model=parse_model_id(profile), by_profile=True)
