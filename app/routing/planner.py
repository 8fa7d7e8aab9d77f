"""Resolves the name of a model that a caller used to the targets that may get the call."""

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Self, TypeAlias, TypeVar, cast

from msgspec import Struct, field
from msgspec.structs import replace

from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.bedrock.transport import DEFAULT_TIMEOUTS, Timeouts
from app.converse.call import Surface
from app.errors import InvalidRequest, ModelDiffers
from app.models.capabilities import Capabilities, capabilities_of
from app.models.capability_groups import NativeCapabilities, TranslatedTo
from app.models.capability_values import CapabilityValues, merged, names_in
from app.models.ids import ModelId, parse_model_id, without_prefix
from app.models.short_names import LONG_CONTEXT, id_by_rule, is_short, resolve, short_names_of

_log = logging.getLogger(__name__)

BodyFormat = Literal["anthropic", "openai_responses", "openai_chat"]
_BODY_FORMATS: tuple[BodyFormat, ...] = ("anthropic", "openai_responses", "openai_chat")
DEFAULT_ALIAS = "default"
NATIVE_SURFACES = frozenset({Surface.INVOKE, Surface.OPENAI, Surface.MANTLE})
_MAX_PLANS = 4096
_MAX_PLANNED_NAME = 512
_MAX_PROFILES = 4096
_MAX_OVERRIDES = 1024
# models change, and nothing reports that an override is no longer true
_OVERRIDE_SECONDS = 3600.0


# what an override holds for, by base id and location
_Model: TypeAlias = tuple[str, UpstreamLocation]
# until when an override holds, and the capabilities that differ
_Override: TypeAlias = tuple[float, CapabilityValues]
K = TypeVar("K")


class ModelLimits(Struct, frozen=True):
    """Limits of one model.

    timeouts: for one attempt. total: seconds for a request, all its attempts included.
    default_max_tokens: see `Planner`.
    """

    timeouts: Timeouts = DEFAULT_TIMEOUTS
    total: float | None = None
    default_max_tokens: int | None = None


NO_LIMITS = ModelLimits()


class Target(Struct, frozen=True, cache_hash=True):
    """A model at a location, and all that depends on nothing else.

    model: as it is called. model_behind: the model itself, where `model` is an ARN that hides it; else the same.
    location: the region and account; location_name: for logs. limits: those of the model, where it has its own.
    native_formats: those whose bodies a surface takes as they are. translated_to: the format of all other calls.
    betas: features of Anthropic's format that the deployment passes beside those that Outcrop knows.
    is_unresolved: a lookup may tell which model it is: its name hides that, or is a short name that no list has.
    counts_on_mantle: its tokens are counted by Messages on mantle.
    by_profile: the caller named the model, and the gateway calls its inference profile.
    tier: the service tier of calls that request none.
    """

    model: ModelId
    model_behind: ModelId
    capabilities: Capabilities
    location: UpstreamLocation = DEFAULT_LOCATION
    location_name: str = ""
    limits: ModelLimits = NO_LIMITS
    native_formats: frozenset[BodyFormat] = frozenset()
    translated_to: TranslatedTo = "converse"
    counts_on_mantle: bool = False
    betas: frozenset[str] = frozenset()
    is_unresolved: bool = False
    by_profile: bool = False
    tier: str = ""

    @property
    def key(self) -> tuple[str, UpstreamLocation, str]:
        """What distinguishes it from other targets, whatever becomes known of its capabilities."""
        return self.model.raw, self.location, self.tier

    def with_override(self, error: ModelDiffers) -> Self | None:
        """Return the target with the capabilities that its model reported; None if they were known already."""
        capabilities = self.capabilities.with_values(cast(CapabilityValues, error.values))
        return None if capabilities == self.capabilities else replace(self, capabilities=capabilities)

    @property
    def is_only_on_mantle(self) -> bool:
        """True if Converse does not serve the model."""
        return self.capabilities.native.translated_to != "converse"


class Choice(Struct, frozen=True):
    """One member of a route, as configured. tier: the service tier; empty for the one that a call requests."""

    model: str
    location: UpstreamLocation = DEFAULT_LOCATION
    weight: int = 1
    tier: str = ""


class Route(Struct, frozen=True):
    """A name for several targets: tried in their order, or in an order drawn for each request by their weights."""

    choices: tuple[Choice, ...]
    is_weighted: bool = False

    @property
    def names_tiers(self) -> bool:
        """True if a target has a service tier."""
        return any(choice.tier for choice in self.choices)

    def ordered(self, uniform: Callable[[], float] = random.random) -> list[Choice]:
        """Return the choices in the order in which they are tried now. uniform: draws a number between 0 and 1."""
        if not self.is_weighted:
            return list(self.choices)
        # a weighted draw without replacement takes the greatest of these first
        return sorted(self.choices, key=lambda choice: uniform() ** (1 / choice.weight), reverse=True)


class Plan(Struct, frozen=True):
    """What follows from a name that a caller used.

    targets: in the order in which they are tried. as_named: the same, without inference profiles that the caller did
    not name. is_renamed: see `Planner.renames`.
    needs_beta: it requests the long context, and a model gets that only by a beta in the body.
    is_translated: Converse does not serve one of the targets.
    """

    targets: list[Target]
    as_named: list[Target]
    is_renamed: bool
    needs_beta: bool
    is_translated: bool


class Planner(Struct, frozen=True):
    """Resolves names.

    default_model: what the alias `default`, or no name at all, stands for.
    aliases: names that this deployment gives to models. routes: names that it gives to several targets.
    region: the gateway's own, which short names depend on.
    short_names: the ids that vendors' names for their models stand for, as the lists of the region tell.
    limits: of models that have their own, by their names or their base ids.
    native_surfaces: those that are used. betas: see `Target`.
    default_max_tokens: the length that is requested of models that need one, instead of the one in their row.
    behind: the models behind ARNs that hide theirs, as configured, or as AWS reported.
    profiles: inference profiles, by the base ids of models that can only be called by one.
    overrides: capabilities that models reported to differ from what is known. overrides_of_callers: those that hold for
        one caller only, since no other call has confirmed them.
    hides_arns: the default model is shown as `default`, if its name is an ARN.
    has_several_callers: overrides hold for all callers only once two have confirmed them, since a caller may have
        provoked the report.
    """

    default_model: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    limits: Mapping[str, ModelLimits] = field(default_factory=dict)
    region: str = ""
    native_surfaces: frozenset[str] = NATIVE_SURFACES
    betas: frozenset[str] = frozenset()
    default_max_tokens: int | None = None
    behind: dict[str, ModelId] = field(default_factory=dict)
    profiles: dict[str, str] = field(default_factory=dict)
    short_names: dict[str, str] = field(default_factory=dict)
    overrides: dict[_Model, _Override] = field(default_factory=dict)
    overrides_of_callers: dict[tuple[str, _Model], _Override] = field(default_factory=dict)
    has_several_callers: bool = False
    hides_arns: bool = False
    clock: Callable[[], float] = time.monotonic
    # for as long as nothing is learned; callers choose the names, so it is bounded
    _plans: dict[str, Plan] = field(default_factory=dict)

    def plan(self, name: str, caller: str = "") -> list[Target]:
        """Return the targets for a name that a caller used, in the order in which they are tried.

        Raises:
            InvalidRequest: no model can have the name.
        """
        targets = (self._plans.get(name) or self._plan(name)).targets
        if not self.overrides_of_callers:
            return targets
        return [self._with_overrides_of(caller, target) for target in targets]

    def plan_for(self, name: str) -> Plan | None:
        """Return what follows from a name for all callers; None if it is empty, or if no model can have it."""
        try:
            return (self._plans.get(name) or self._plan(name)) if name else None
        except InvalidRequest:
            return None

    def _plan(self, name: str) -> Plan:
        as_named = self.as_named(name)
        targets = [self._by_profile(target) for target in as_named]
        plan = Plan(
            targets,
            as_named,
            is_renamed=self.renames(name),
            needs_beta=name.endswith(LONG_CONTEXT) and any(each.capabilities.context.is_extended for each in as_named),
            is_translated=any(target.translated_to != "converse" for target in targets),
        )
        route = self.routes.get(without_prefix(name) or DEFAULT_ALIAS)
        # weights are drawn anew for each request
        is_lasting = all(map(self._is_lasting, targets)) and not (route is not None and route.is_weighted)
        if is_lasting and len(name) <= _MAX_PLANNED_NAME:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[name] = plan
        return plan

    def as_named(self, name: str) -> list[Target]:
        """Return the same targets, without inference profiles that the caller did not name. Raises as `plan` does."""
        plain = name.removesuffix(LONG_CONTEXT)
        route = self.routes.get(without_prefix(plain) or DEFAULT_ALIAS)
        choices = [Choice(self.configured_model(plain) or without_prefix(plain))] if route is None else route.ordered()
        targets = [self._target(choice) for choice in choices]
        return targets if plain == name else [_with_long_context(target) for target in targets]

    def is_ours(self, name: str) -> bool:
        """True if this deployment gives the name."""
        return bool(name) and bool(self.configured_model(name))

    def renames(self, name: str) -> bool:
        """True if the model has another name for Bedrock than the one that a caller used."""
        plain = without_prefix(name)
        return plain != name or self.is_ours(name) or name.endswith(LONG_CONTEXT) or is_short(name)

    def knows(self, name: str) -> bool:
        """True if there is a plan for the name, which must not be empty."""
        return self.plan_for(name) is not None

    def known_as(self, name: str) -> str:
        """Return the model's name in an answer: the caller's, or that of the default model if the caller named none.

        An ARN would show the account.
        """
        if name:
            return name
        default = self.configured_model("")
        return DEFAULT_ALIAS if self.hides_arns and default.startswith("arn:") else default

    def names(self) -> list[str]:
        """Return the names that this deployment gives, sorted."""
        return sorted({*self.aliases, *self.routes} - {DEFAULT_ALIAS})

    def model_behind(self, called: str) -> ModelId:
        """Return the model behind a name, as far as it is known; most names hide nothing.

        Raises:
            InvalidRequest: no model can have the name.
        """
        return self.behind.get(called) or parse_model_id(called)

    def record_models(self, models: Iterable[ModelId]) -> None:
        """Record the models and inference profiles of the region, from which short names follow."""
        found = short_names_of(models)
        if found != self.short_names:
            self.short_names.clear()
            self.short_names.update(found)
            self._plans.clear()

    def remember_profile(self, name: str, profile: str) -> None:
        """Remember that a model can only be called by an inference profile."""
        if len(self.profiles) < _MAX_PROFILES and self.profiles.get(name) != profile:
            self.profiles[name] = profile
            self._plans.clear()

    def forget_names_of(self, name: str) -> None:
        """Forget that other names stand for a model, which was refused."""
        for called in (self.profiles, self.short_names):
            for model in [model for model, profile in called.items() if profile == name]:
                del called[model]
                self._plans.clear()

    def record_override(self, target: Target, error: ModelDiffers, caller: str) -> None:
        """Record what a model reported to a caller, whose call has succeeded with it. It holds for an hour.

        With several callers it holds for the caller only, until another caller's call has confirmed it.
        """
        if not error.is_lasting:
            return
        values = cast(CapabilityValues, error.values)
        key = _override_key(target.model, target.model_behind, target.location)
        if self.has_several_callers and not self._is_confirmed(key, values, caller):
            self._merge(self.overrides_of_callers, (caller, key), values)
        elif self._merge(self.overrides, key, values):
            self._plans.clear()
            told = {"model": target.model_behind.base, "capabilities": names_in(values)}
            _log.info("a model lacks a capability", extra={"fields": told})

    def _is_confirmed(self, key: _Model, values: CapabilityValues, caller: str) -> bool:
        """Return whether the model reported the same to another caller."""
        now = self.clock()
        return any(
            other != caller and model == key and now < until and merged(known, values) == known
            for (other, model), (until, known) in self.overrides_of_callers.items()
        )

    def _merge(self, overrides: dict[K, _Override], key: K, values: CapabilityValues) -> bool:
        """Add values to an override; return whether that changed it."""
        if key not in overrides and len(overrides) >= _MAX_OVERRIDES:
            return False
        until, known = overrides.get(key, (0.0, CapabilityValues()))
        now = self.clock()
        until, known = (until, known) if now < until else (now + _OVERRIDE_SECONDS, {})
        overrides[key] = until, merged(known, values)
        return overrides[key][1] != known

    def _with_overrides_of(self, caller: str, target: Target) -> Target:
        key = caller, _override_key(target.model, target.model_behind, target.location)
        override = self.overrides_of_callers.get(key)
        if override is None:
            return target
        until, values = override
        if self.clock() >= until:
            del self.overrides_of_callers[key]
            return target
        return replace(target, capabilities=target.capabilities.with_values(values))

    def configured_model(self, name: str) -> str:
        """Return the model that the configuration gives a name, of a route the first; empty if it gives none."""
        name = (without_prefix(name) if name else "") or DEFAULT_ALIAS
        if name in self.routes:
            return self.routes[name].choices[0].model
        if name in self.aliases:
            return self.aliases[name]
        return self.default_model if name == DEFAULT_ALIAS else ""

    def _target(self, choice: Choice) -> Target:
        resolved = self._resolved(choice)
        model = parse_model_id(resolved or id_by_rule(choice.model, choice.location.region or self.region))
        known = self.model_behind(model.raw)
        capabilities = capabilities_of(known, is_profile=model.is_opaque)
        if self.overrides:
            until, values = self.overrides.get(_override_key(model, known, choice.location), (0.0, {}))
            capabilities = capabilities.with_values(values) if self.clock() < until else capabilities
        native_formats = self._native_formats(model, capabilities.native)
        translated_to = capabilities.native.translated_to
        limits = self.limits.get(model.raw) or self.limits.get(known.base, NO_LIMITS)
        length = limits.default_max_tokens or self.default_max_tokens
        if length is not None and capabilities.output.default_length:
            capabilities = capabilities.with_values({"output": {"default_length": length}})
        return Target(
            model,
            known,
            capabilities,
            choice.location,
            choice.location.name,
            limits=limits,
            native_formats=native_formats,
            translated_to=translated_to if translated_to in native_formats else "converse",
            counts_on_mantle=capabilities.native.counts_on_mantle and Surface.MANTLE in self.native_surfaces,
            betas=self.betas,
            is_unresolved=known.is_opaque or (resolved is None and choice.location == DEFAULT_LOCATION),
            tier=choice.tier,
        )

    def _resolved(self, choice: Choice) -> str | None:
        """Return the id that a choice names; None for a short name that the lists of its region do not resolve."""
        if not is_short(choice.model):
            return choice.model
        return resolve(choice.model, self.short_names) if choice.location == DEFAULT_LOCATION else None

    def _is_lasting(self, target: Target) -> bool:
        """False for a target whose model may become known, or whose overrides expire."""
        key = _override_key(target.model, target.model_behind, target.location)
        return not target.is_unresolved and key not in self.overrides

    def _native_formats(self, model: ModelId, native: NativeCapabilities) -> frozenset[BodyFormat]:
        # only InvokeModel takes ARNs that hide their model (AWS user guide, Responses API, 2026-11)
        used = self.native_surfaces & {Surface.INVOKE} if model.is_opaque else self.native_surfaces
        if model.geography:
            # mantle has no inference profiles, and the base id would be answered in another region than the profile's
            used = used - {Surface.MANTLE}
        return frozenset(body_format for body_format in _BODY_FORMATS if native.surface(body_format) in used)

    def _by_profile(self, target: Target) -> Target:
        profile = self.profiles.get(target.model.raw) if target.location == DEFAULT_LOCATION else None
        return target if profile is None else replace(target, model=parse_model_id(profile), by_profile=True)


def _with_long_context(target: Target) -> Target:
    """Return the target with the context of a million tokens, where the model has it on request only."""
    if not target.capabilities.context.beta:
        return target
    return replace(target, capabilities=target.capabilities.with_values({"context": {"is_extended": True}}))


def _override_key(model: ModelId, behind: ModelId, location: UpstreamLocation) -> tuple[str, UpstreamLocation]:
    """Overrides hold for a model by whichever profile it is called, but for one deployment of a custom model."""
    return model.raw if model.is_opaque else behind.base, location
