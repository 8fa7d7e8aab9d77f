"""The settings of a Converse request that both of OpenAI's APIs have, under the same names or others."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from app.adaptation.carried_contents import is_strict
from app.converse.call import Intent
from app.converse.request import ConverseRequest
from app.wire import json
from app.wire.json import JsonObject

# members of the surfaces' own that only select how to answer; none refers to what is stored for the account
_OWN_FIELDS = frozenset({"prompt_cache_key", "prompt_cache_retention", "reasoning", "reasoning_effort", "verbosity"})


class AnswerFormat(Struct, frozen=True):
    """The JSON schema of the answer."""

    name: str
    schema: object
    description: str = ""

    def members(self) -> JsonObject:
        """Return the members of OpenAI's `json_schema`."""
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, "schema": self.schema, "strict": is_strict(self.schema), **described}


def answer_format(body: ConverseRequest) -> AnswerFormat | None:
    """Return the format that the answer must have, if any."""
    wanted = body.get("outputConfig", {}).get("textFormat")
    if wanted is None:
        return None
    definition = wanted["structure"].get("jsonSchema", {})
    schema = json.loads(definition.get("schema", "{}"))
    return AnswerFormat(definition.get("name") or "answer", schema, definition.get("description", ""))


def function_of(tool: Any) -> JsonObject:
    """Return the members of a function for a tool's specification. A schema is strict only where the caller says so."""
    spec = tool["toolSpec"]
    described = {"description": spec["description"]} if spec.get("description") else {}
    schema = spec["inputSchema"].get("json", {})
    return {"name": spec["name"], **described, "parameters": schema, "strict": spec.get("strict") is True}


def functions_of(body: ConverseRequest) -> list[JsonObject]:
    """Return the members of a function for each tool."""
    return [function_of(tool) for tool in body.get("toolConfig", {}).get("tools", ()) if "toolSpec" in tool]


def common_members(body: ConverseRequest, intent: Intent, *, is_streamed: bool) -> JsonObject:
    """Return the members that have the same names in both APIs."""
    inference = body.get("inferenceConfig", {})
    members: JsonObject = {"stream": is_streamed}
    for name, theirs in (("temperature", "temperature"), ("topP", "top_p")):
        if name in inference:
            members[theirs] = inference[name]  # type: ignore[literal-required]
    if intent.single_tool_call and "toolConfig" in body:
        members["parallel_tool_calls"] = False
    if labels := body.get("requestMetadata"):
        members["metadata"] = labels
    if "serviceTier" in body:
        members["service_tier"] = body["serviceTier"]["type"]
    return members


def own_fields(body: ConverseRequest) -> tuple[dict[str, Any], list[str]]:
    """Return the model's own fields that are sent, and the paths of those that are not."""
    fields: Mapping[str, Any] = body.get("additionalModelRequestFields") or {}
    sent = {name: value for name, value in fields.items() if name in _OWN_FIELDS}
    return sent, [f"additionalModelRequestFields.{name}" for name in fields if name not in _OWN_FIELDS]


def effort_in(fields: dict[str, Any], body: ConverseRequest) -> object:
    """Take the effort out of the model's own fields, or of `outputConfig`; None if none is requested."""
    nested = fields.pop("reasoning", None)
    effort = fields.pop("reasoning_effort", None) or (nested.get("effort") if isinstance(nested, dict) else None)
    return effort or body.get("outputConfig", {}).get("effort")
