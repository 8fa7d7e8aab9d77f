"""The output items of a response."""

from dataclasses import dataclass, field

from app.emulator.openai_api.encrypted_reasoning import encrypt
from app.wire import json
from app.wire.json import JsonObject


@dataclass(slots=True)
class OutputItem:
    """An item while it streams.

    call: `call_id` and `name` of a tool call. pieces: of the text or the arguments.
    reasoning: the members of Converse's reasoning block. is_shown: the item shows it, and does not encrypt it.
    """

    id: str
    type: str
    call: dict[str, str] = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    reasoning: dict[str, str] = field(default_factory=dict)
    is_shown: bool = False

    def render(self, *, is_complete: bool, with_encrypted_content: bool = False) -> JsonObject:
        """The item as the API shows it, at its start or when it is complete."""
        head = {"id": self.id, "type": self.type, **self.call}
        text = "".join(self.pieces)
        status = "completed" if is_complete else "in_progress"
        match self.type:
            case "message":
                part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
                return {**head, "role": "assistant", "status": status, "content": [part] if is_complete else []}
            case "reasoning" if self.is_shown:
                shown = {"type": "reasoning_text", "text": self.reasoning.get("text", "")}
                return {**head, "summary": [], "content": [shown] if is_complete else [], "status": status}
            case "reasoning":
                is_encrypted = with_encrypted_content and self.reasoning
                encrypted = {"encrypted_content": encrypt(self.reasoning)} if is_encrypted else {}
                return {**head, "summary": [], **encrypted}
            case "custom_tool_call":
                return {**head, "status": status, "input": json.loads(text or "{}").get("input", "")}
            case _:
                return {**head, "status": status, "arguments": text or ("{}" if is_complete else "")}
