"""Who calls."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key, by the key's name."""

    name: str


ANONYMOUS = Caller("anonymous")
