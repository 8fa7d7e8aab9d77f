"""A Converse request as a request for a message.

Source: docs/reference/contracts/anthropic-messages.md#request-fields
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.to_anthropic.blocks import message_blocks
from app.wire.json import JsonObject

_MAX_TOKENS = 8192
# members that select how to answer
_OWN_FIELDS = frozenset({"output_config", "thinking", "tool_choice", "top_k"})
_INFERENCE = {"temperature": "temperature", "topP": "top_p", "stopSequences": "stop_sequences"}


def message_request(adapted: AdaptedRequest, *, forbid_tools: bool, is_streamed: bool) -> JsonObject:
    """Return the body, without the model. Raises InvalidRequest for what this API does not take."""
    body, inference = adapted.body, adapted.body.get("inferenceConfig", {})
    document: JsonObject = {
        "max_tokens": inference.get("maxTokens", _MAX_TOKENS),
        "messages": [
            {"role": message["role"], "content": message_blocks(message["content"])} for message in body["messages"]
        ],
    }
    if system := message_blocks(body.get("system", ())):
        document["system"] = system
    document |= {theirs: inference[name] for name, theirs in _INFERENCE.items() if name in inference}  # type: ignore[literal-required]
    if is_streamed:
        document["stream"] = True
    given: dict[str, Any] = body.get("additionalModelRequestFields") or {}
    fields = {name: value for name, value in given.items() if name in _OWN_FIELDS}
    adapted.ignored += [f"additionalModelRequestFields.{name}" for name in given if name not in _OWN_FIELDS]
    choice = fields.pop("tool_choice", {})
    if "toolConfig" in body:
        document["tools"] = _tools(body["toolConfig"])
        document["tool_choice"] = {"type": "none"} if forbid_tools else {**_choice(body["toolConfig"]), **choice}
    if effort := body.get("outputConfig", {}).get("effort"):
        fields["output_config"] = {"effort": effort, **fields.get("output_config", {})}
    for name, value in (("serviceTier", "service_tier"), ("requestMetadata", "metadata")):
        if name in body:
            adapted.ignore(value)
    return {**document, **fields}


def _tools(config: Any) -> list[JsonObject]:
    tools: list[JsonObject] = []
    for tool in config["tools"]:
        if "cachePoint" in tool:
            ttl = tool["cachePoint"].get("ttl")
            if tools:
                tools[-1]["cache_control"] = {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}
            continue
        spec = tool["toolSpec"]
        made = {"name": spec["name"], "input_schema": spec["inputSchema"]["json"]}
        made |= {name: spec[name] for name in ("description", "strict") if spec.get(name)}
        tools.append(made)
    return tools


def _choice(config: Any) -> JsonObject:
    choice = config.get("toolChoice") or {"auto": {}}
    if "tool" in choice:
        return {"type": "tool", "name": choice["tool"]["name"]}
    return {"type": "any" if "any" in choice else "auto"}
