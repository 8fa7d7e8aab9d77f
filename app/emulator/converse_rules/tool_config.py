"""`toolConfig`: when it is required, which tool choices a model supports, and the schemas of tools."""

from app.converse.content import ContentBlock
from app.converse.request import ConverseRequest, Message, ToolConfiguration, ToolSpecification
from app.emulator.catalog import Model
from app.emulator.errors import invalid

# the keywords that Nova of the first generation accepts at the top of a tool's schema
_NOVA_KEYWORDS = ("type", "properties", "required", "additionalProperties")


def is_client_call(block: ContentBlock) -> bool:
    """True for a tool call that the caller must answer."""
    return block.get("toolUse") is not None and block["toolUse"].get("type") != "server_tool_use"


def is_client_result(block: ContentBlock) -> bool:
    """True for the caller's answer to a tool call."""
    return block.get("toolResult") is not None and not block["toolResult"].get("type")


def check_tool_config(model: Model, request: ConverseRequest, messages: list[Message]) -> None:
    """Check the tools of a request, and that tools are defined where the conversation has used some."""
    config = request.get("toolConfig")
    if config is not None:
        _check_choice(model, config)
        for index, tool in enumerate(config["tools"]):
            if "toolSpec" in tool:
                _check_schema(model, tool["toolSpec"], index)
    elif any(is_client_call(block) or is_client_result(block) for message in messages for block in message["content"]):
        # pentagi#160
        raise invalid("The toolConfig field must be defined when using toolUse and toolResult content blocks.")


def _check_choice(model: Model, config: ToolConfiguration) -> None:
    if model.tool_choices is None:
        raise invalid("This model doesn't support tool use.")  # langchain-aws#447
    for choice in config.get("toolChoice") or {}:
        if choice != "auto" and choice not in model.tool_choices:
            # harness-sdk#1241, vercel/ai#4396
            raise invalid(
                f"This model doesn't support the toolConfig.toolChoice.{choice} field. Remove "
                f"toolConfig.toolChoice.{choice} and try again."
            )


def _check_schema(model: Model, specification: ToolSpecification, index: int) -> None:
    path = f"toolConfig.tools.{index}.toolSpec.inputSchema.json"
    schema = specification["inputSchema"]["json"]
    if not isinstance(schema, dict):
        raise invalid(
            f"The format of the value at {path} is invalid. Provide a json object for the field and try again."
        )  # aws-sdk-net#3377
    if schema.get("type") != "object":
        raise invalid(f"The value at {path}.type must be one of the following: object.")  # goose#5064
    extra = [name for name in schema if name not in _NOVA_KEYWORDS]
    if extra and model.rules == "nova" and "nova-2" not in model.id:
        # zed#28521, mcp-agent#126
        pointer = f"#/toolConfig/tools/{index}/toolSpec/inputSchema/json"
        problem = f"extraneous key [{extra[0]}] is not permitted, please reformat your input and try again."
        raise invalid(f"Malformed input request: {pointer}: {problem}")
