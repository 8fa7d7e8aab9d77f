"""The call, or the body, that the passes change."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct, field

from app.adaptation.response_mapping import ResponseMapping
from app.adaptation.schemas import Inliner
from app.converse.call import Intent
from app.converse.content import ContentBlock
from app.converse.request import ConverseRequest
from app.models.capabilities import Capabilities
from app.wire.json import JsonObject

Role = Literal["user", "assistant", "system"]

# a text where Bedrock requires one
PLACEHOLDER = "."


class AdaptedRequest(Struct):
    """A call for one model.

    body: the body that is sent. A pass replaces its members and does not write into them.
    adjusted: changes that the caller might notice, for `x-outcrop-adjusted`.
    ignored: the caller's fields that have no effect with this model, for `x-outcrop-ignored`.
    mapping: what must be restored in the reply.
    names: the caller's names of fields, as in `ModelCall`.
    contents: of the call, before it was adapted; see `Contents`.
    grammars: the compiled schemas of strict tools. inliner: limits what is inlined in all schemas of the call together.
    """

    body: ConverseRequest
    intent: Intent
    capabilities: Capabilities
    adjusted: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    mapping: ResponseMapping = field(default_factory=ResponseMapping)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    contents: int = 0
    grammars: list[JsonObject] = field(default_factory=list)
    inliner: Inliner = field(default_factory=Inliner)

    def adjust(self, what: str) -> None:
        """Name a change, once."""
        if what not in self.adjusted:
            self.adjusted.append(what)

    def path(self, name: str) -> str:
        """Return the caller's name of the field that OpenAI's chat calls `name`."""
        return self.names.get(name, (name,))[0]

    def ignore(self, name: str) -> None:
        """Name the caller's field that OpenAI's chat calls `name` as having no effect."""
        self.ignored += self.names.get(name, (name,))

    def blocks(self) -> Iterator[ContentBlock]:
        """Return every content block of the conversation."""
        for message in self.body["messages"]:
            yield from message["content"]

    def add_field(self, name: str, value: object) -> None:
        """Set a model's own field in additionalModelRequestFields."""
        self.body["additionalModelRequestFields"] = {
            **self.body.get("additionalModelRequestFields", {}),
            name: value,
        }

    def request_response_field(self, pointer: str) -> None:
        """Request a member of the model's own reply, by its JSON pointer."""
        paths = self.body.get("additionalModelResponseFieldPaths", [])
        self.body["additionalModelResponseFieldPaths"] = [*paths, pointer]

    def add_to_last_turn(self, text: str) -> None:
        """Append a text to the last turn, if it is the user's."""
        messages = self.body["messages"]
        if messages and messages[-1]["role"] == "user":
            last = {**messages[-1], "content": [*messages[-1]["content"], {"text": text}]}
            self.body["messages"] = [*messages[:-1], last]  # type: ignore[list-item]

    def add_instruction(self, text: str) -> None:
        """Append an instruction to the system prompt."""
        self.body["system"] = [*self.body.get("system", []), {"text": text}]


class AdaptedBody(Struct):
    """A body of a dialect for a model that accepts it; `ignored` and `adjusted` as in `AdaptedRequest`."""

    body: JsonObject
    capabilities: Capabilities
    ignored: list[str] = field(default_factory=list)
    adjusted: list[str] = field(default_factory=list)

    def adjust(self, what: str) -> None:
        """Name a change, once."""
        if what not in self.adjusted:
            self.adjusted.append(what)
