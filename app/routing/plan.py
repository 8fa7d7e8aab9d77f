"""From the name that a caller used to the target that gets the call."""

from dataclasses import dataclass

from app.models.ids import ModelId, parse_model_id
from app.models.traits import Traits, traits_of

DEFAULT_ALIAS = "default"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an attempt lands: a model, in the gateway's region, on the Converse surface."""

    model: ModelId
    traits: Traits


@dataclass(frozen=True, slots=True)
class Planner:
    """Resolves names.

    default_model: what the alias `default`, or no name at all, stands for.
    """

    default_model: str

    def plan(self, name: str) -> Target:
        """The target for a name.

        Raises:
            InvalidRequest: the name cannot be one of a model.
        """
        model = parse_model_id(self.default_model if name in ("", DEFAULT_ALIAS) else name)
        return Target(model, traits_of(model))
