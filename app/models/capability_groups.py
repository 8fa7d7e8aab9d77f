"""The capabilities of a model, in groups."""

from typing import Literal

from msgspec import Struct

Surface = Literal["invoke", "openai", "mantle"]


class NativeSurfaces(Struct, frozen=True):
    """The surface that takes bodies of a format as they are, by the format; empty where there is none."""

    anthropic: Surface | Literal[""] = ""
    openai_responses: Surface | Literal[""] = ""
    openai_chat: Surface | Literal[""] = ""

    def formats(self, surface: Surface) -> list[str]:
        """Return the formats that a surface takes."""
        return [name for name in self.__struct_fields__ if getattr(self, name) == surface]
