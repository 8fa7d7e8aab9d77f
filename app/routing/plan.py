"""From the name that a caller used to the target that gets the call."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.models.ids import ModelId, parse_model_id
from app.models.traits import Traits, traits_of

DEFAULT_ALIAS = "default"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an attempt lands: a model, in the gateway's region.

    by_profile: the caller named the model, and the gateway its inference profile.
    """

    model: ModelId
    traits: Traits
    by_profile: bool = False


@dataclass(frozen=True, slots=True)
class Planner:
    """Resolves names.

    default_model: what the alias `default`, or no name at all, stands for.
    aliases: names that this deployment gives to models.
    profiles: inference profiles, by the base ids of models that were seen to be sold only so.
    """

    default_model: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    profiles: dict[str, str] = field(default_factory=dict)

    def plan(self, name: str) -> Target:
        """The target for a name.

        Raises:
            InvalidRequest: the name cannot be one of a model.
        """
        model = parse_model_id(self.model_behind(name) or name)
        profile = self.profiles.get(model.raw)
        if profile is not None:
            return Target(parse_model_id(profile), traits_of(model), by_profile=True)
        return Target(model, traits_of(model))

    def forget(self, name: str) -> None:
        """Remember a profile no longer: it was refused."""
        for model in [model for model, profile in self.profiles.items() if profile == name]:
            del self.profiles[model]

    def model_behind(self, name: str) -> str:
        """The model that a name stands for, or nothing where it stands for itself."""
        if name in self.aliases:
            return self.aliases[name]
        return self.default_model if name in ("", DEFAULT_ALIAS) else ""
