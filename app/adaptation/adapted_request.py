"""What the passes work on."""

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct, field

from app.adaptation.response_mapping import ResponseMapping
from app.adaptation.schemas import Inliner
from app.converse.call import Intent
from app.converse.content import ContentBlock
from app.converse.request import ConverseRequest
from app.models.capabilities import Capabilities

Role = Literal["user", "assistant", "system"]

# what is said where something must be
PLACEHOLDER = "."


class AdaptedRequest(Struct):
    """A call on its way to one model.

    body: what will be sent; its members may be replaced, not written into.
    adjusted: changes that the caller might notice, for `x-outcrop-adjusted`.
    ignored: wishes that this model cannot fulfil and that change nothing else, for `x-outcrop-ignored`.
    names: as those of the call. grammars: those that the tools' schemas became. inliner: of all schemas of the call.
    """

    body: ConverseRequest
    intent: Intent
    capabilities: Capabilities
    adjusted: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    mapping: ResponseMapping = field(default_factory=ResponseMapping)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    grammars: list[Any] = field(default_factory=list)
    inliner: Inliner = field(default_factory=Inliner)

    def adjust(self, what: str) -> None:
        """Name a repair, once."""
        if what not in self.adjusted:
            self.adjusted.append(what)

    def path(self, name: str) -> str:
        """The field that OpenAI's chat calls `name`, as the caller's format calls it."""
        return self.names.get(name, (name,))[0]

    def ignore(self, name: str) -> None:
        """Name what the caller said with the field that OpenAI's chat calls `name` as being without effect."""
        self.ignored += self.names.get(name, (name,))

    def blocks(self) -> Iterator[ContentBlock]:
        """Every content block of the conversation."""
        for message in self.body["messages"]:
            yield from message["content"]

    def add_field(self, name: str, value: Any) -> None:
        """Set a model's own field in additionalModelRequestFields."""
        self.body["additionalModelRequestFields"] = {
            **self.body.get("additionalModelRequestFields", {}),
            name: value,
        }

    def ask_for(self, pointer: str) -> None:
        """Have a member of the model's own reply sent back, by its JSON pointer."""
        paths = self.body.get("additionalModelResponseFieldPaths", [])
        self.body["additionalModelResponseFieldPaths"] = [*paths, pointer]

    def add_instruction(self, text: str) -> None:
        """Append an instruction to the system prompt."""
        self.body["system"] = [*self.body.get("system", []), {"text": text}]


class AdaptedBody(Struct):
    """A body of a model's own format on its way to it; `ignored` and `adjusted` as those of `AdaptedRequest`."""

    body: dict[str, Any]
    capabilities: Capabilities
    ignored: list[str] = field(default_factory=list)
    adjusted: list[str] = field(default_factory=list)

    def adjust(self, what: str) -> None:
        """Name a repair, once."""
        if what not in self.adjusted:
            self.adjusted.append(what)
