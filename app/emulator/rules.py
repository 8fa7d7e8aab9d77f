"""Bedrock's own rules for Converse, with its wording. Contracts section 6; the threads stand beside the rules.

Rules of the service come first; those of a model's own layer carry its prefix.
"""

import re
from itertools import pairwise
from typing import Any

from app.emulator.catalog import Model
from app.emulator.errors import ServiceError, invalid, model_refused
from app.emulator.grammar import complaint
from app.emulator.rules_apart import check_apart
from app.emulator.rules_model import check_model_side
from app.kit import json

_DOCUMENT_NAME = re.compile(r"[A-Za-z0-9_()\[\]-]+( [A-Za-z0-9_()\[\]-]+)*\Z")
_MAX_DOCUMENT = int(4.5 * 1024 * 1024)
_MAX_IMAGE = int(3.75 * 1024 * 1024)
_MAX_DOCUMENTS = 5
_MAX_CACHE_POINTS = 4

_BARE = ("type", "properties", "required", "additionalProperties")


def check_rules(model: Model, request: dict[str, Any]) -> None:
    """Check a Converse request that its constraints let pass.

    Raises:
        ServiceError: a ValidationException in AWS's words, or what else a rule calls for.
    """
    messages = request.get("messages") or []
    _check_system(request)
    _check_turns(messages)
    _check_blocks(messages)
    check_apart(model, messages)
    _check_documents(messages)
    _check_tools(model, request, messages)
    _check_caching(model, request, messages)
    _check_output(request)
    check_model_side(model, request, "The model returned the following errors: ")


def _check_system(request: dict[str, Any]) -> None:
    for place, block in enumerate(request.get("system") or []):
        if "text" in block and not block["text"].strip():
            raise invalid(
                f"The text field in the SystemContentBlock object at system.{place} is blank. "
                "Add text to the text field, and try again."
            )


def _check_turns(messages: list[Any]) -> None:
    turns = [message for message in messages if message["role"] != "system"]
    if not turns or turns[0]["role"] != "user":
        # pydantic-ai#4495, dify#12340
        raise invalid(
            "A conversation must start with a user message. Try again with a conversation that starts with a "
            "user message."
        )
    if any(one["role"] == other["role"] for one, other in pairwise(turns)):
        # langchain-aws#130, ell#369
        raise invalid(
            "A conversation must alternate between user and assistant roles. Make sure the conversation "
            "alternates between user and assistant roles and try again."
        )


def _check_blocks(messages: list[Any]) -> None:
    for turn, message in enumerate(messages):
        if not message["content"]:
            # earendil-works/pi#3443
            raise invalid(
                f"The content field in the Message object at messages.{turn} is empty. Add a ContentBlock "
                "object to the content field and try again."
            )
        for place, block in enumerate(message["content"]):
            _check_place(block, message["role"], turn)
            where = f"messages.{turn}.content.{place}"
            has_document = any("document" in each for each in message["content"])
            if "text" in block and not block["text"].strip() and not (has_document and block["text"]):
                # langchain-aws#403, OpenHands#5339; a recording shows "\n" beside a document accepted
                raise invalid(
                    f"The text field in the ContentBlock object at {where} is blank. Add text to the text "
                    "field, and try again."
                )
            result = block.get("toolResult")
            if result is not None:
                _check_result(result, where)


def _check_place(block: Any, role: str, turn: int) -> None:
    """Each kind of block in the turn of who may say it: the service model's documentation; ai-dial-adapter#306."""
    kinds = {"assistant": ("image", "document", "video"), "user": ("toolUse", "reasoningContent"), "system": ()}
    for kind in kinds[role]:
        if block.get(kind) is not None:
            raise model_refused(f"messages.{turn}.content: '{kind}' blocks are not permitted within {role} turns.")
    if role == "assistant" and block.get("toolResult") is not None and not block["toolResult"].get("type"):
        raise model_refused(f"messages.{turn}.content: 'toolResult' blocks are not permitted within assistant turns.")
    use = block.get("toolUse")
    if use is not None and not isinstance(use["input"], dict):
        raise invalid(
            f"The format of the value at messages.{turn}.content.toolUse.input is invalid. Provide a json "
            "object for the field and try again."
        )
    for kind, limit, words in (
        ("image", _MAX_IMAGE, "image size is 3.75 MB"),
        ("document", _MAX_DOCUMENT, "document size is 4.5 MB"),
    ):
        size = len((block.get(kind) or {}).get("source", {}).get("bytes") or "") * 3 // 4
        if size > limit:
            raise invalid(f"The maximum {words}. Reduce the size of your {kind} and retry your request.")


def _check_result(result: Any, where: str) -> None:
    if result.get("status") == "error" and not result["content"]:
        raise invalid(f"The content field at {where}.toolResult cannot be empty when status value is error.")
    for place, part in enumerate(result["content"]):
        if "json" in part and not isinstance(part["json"], dict):
            # aws-sdk-js-v3#7330
            raise invalid(
                f"The format of the value at {where}.toolResult.content.{place}.json is invalid. Provide a "
                "json object for the field and try again."
            )


def _check_documents(messages: list[Any]) -> None:
    names: list[str] = []
    for message in messages:
        documents = [block["document"] for block in message["content"] if "document" in block]
        if documents and not any("text" in block for block in message["content"]):
            # archestra#4220
            raise invalid(
                "A text block must be included when using documents. Add a text block and retry your request."
            )
        for document in documents:
            if not _DOCUMENT_NAME.match(document["name"]):
                # llm-bedrock#8, vercel/ai#20365; a recording shows an underscore accepted
                raise invalid(
                    "The document file name can only contain alphanumeric characters, whitespace characters, "
                    "hyphens, parentheses, and square brackets. The name can't contain more than one "
                    "consecutive whitespace character. Check that the file name conforms to these "
                    "restrictions and retry your request."
                )
        names += [document["name"] for document in documents]
    if len(names) > _MAX_DOCUMENTS:
        # generative-ai-use-cases#1685
        raise invalid(
            f"You can't include more than {_MAX_DOCUMENTS} documents in a request. Reduce the number of "
            "documents and retry your request."
        )
    if len(set(names)) < len(names):
        # bifrost#7003, ag-ui#2425
        raise invalid("Messages can't contain duplicate document names. Rename the document and retry your request.")


def _check_tools(model: Model, request: dict[str, Any], messages: list[Any]) -> None:
    config = request.get("toolConfig")
    has_history = any(_is_call(block) or _is_result(block) for message in messages for block in message["content"])
    if config is None and has_history:
        # pentagi#160
        raise invalid("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    if config is not None:
        _check_config(model, config)
    _check_pairs(messages)


def _is_call(block: Any) -> bool:
    return block.get("toolUse") is not None and block["toolUse"].get("type") != "server_tool_use"


def _is_result(block: Any) -> bool:
    return block.get("toolResult") is not None and not block["toolResult"].get("type")


def _check_config(model: Model, config: Any) -> None:
    if model.tool_choices is None:
        raise invalid("This model doesn't support tool use.")  # langchain-aws#447
    for choice in config.get("toolChoice") or {}:
        if choice != "auto" and choice not in model.tool_choices:
            # harness-sdk#1241, vercel/ai#4396
            raise invalid(
                f"This model doesn't support the toolConfig.toolChoice.{choice} field. Remove "
                f"toolConfig.toolChoice.{choice} and try again."
            )
    for place, tool in enumerate(config["tools"]):
        if "toolSpec" not in tool:
            continue
        where = f"toolConfig.tools.{place}.toolSpec.inputSchema.json"
        schema = tool["toolSpec"]["inputSchema"]["json"]
        if not isinstance(schema, dict):
            raise invalid(
                f"The format of the value at {where} is invalid. Provide a json object for the field and try again."
            )  # aws-sdk-net#3377
        if schema.get("type") != "object":
            raise invalid(f"The value at {where}.type must be one of the following: object.")  # goose#5064
        extra = [name for name in schema if name not in _BARE]
        if extra and model.family == "nova" and "nova-2" not in model.id:
            # zed#28521, mcp-agent#126
            path = f"#/toolConfig/tools/{place}/toolSpec/inputSchema/json"
            words = f"extraneous key [{extra[0]}] is not permitted, please reformat your input and try again."
            raise invalid(f"Malformed input request: {path}: {words}")


def _check_pairs(messages: list[Any]) -> None:
    """Every call is answered in the next turn, once, and nothing else is."""
    turns = [message for message in messages if message["role"] != "system"]
    calls: list[str] = []
    for number, message in enumerate(turns):
        results = [block["toolResult"]["toolUseId"] for block in message["content"] if _is_result(block)]
        if message["role"] == "user":
            if len(set(results)) < len(results):
                # litellm#20047
                raise invalid(
                    f"The toolResult blocks at messages.{number}.content contain duplicate Ids: "
                    f"{', '.join(sorted({each for each in results if results.count(each) > 1}))}"
                )
            if len(results) > len(calls):
                # Curie#16, OpenHands#4912
                raise invalid(
                    f"The number of toolResult blocks at messages.{number}.content exceeds the number of "
                    "toolUse blocks of previous turn."
                )
            if missing := [call for call in calls if call not in results]:
                # agno#6698
                raise invalid(
                    f"Expected toolResult blocks at messages.{number}.content for the following Ids: "
                    f"{', '.join(missing)}"
                )
            calls = []
        else:
            calls = [block["toolUse"]["toolUseId"] for block in message["content"] if _is_call(block)]
            if len(set(calls)) < len(calls):
                raise invalid(f"The toolUse blocks at messages.{number}.content contain duplicate Ids: {calls[0]}")


def _check_caching(model: Model, request: dict[str, Any], messages: list[Any]) -> None:
    points = sum(
        "cachePoint" in block
        for blocks in (
            request.get("system") or [],
            (request.get("toolConfig") or {}).get("tools", []),
            *(message["content"] for message in messages),
        )
        for block in blocks
    )
    if points and not model.caching:
        # litellm#39210
        raise ServiceError(
            "AccessDeniedException",
            "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for "
            "more information.",
        )
    _check_ttl(model, request, messages)
    if points > _MAX_CACHE_POINTS:
        # twenty#26217
        raise model_refused(
            f"A maximum of {_MAX_CACHE_POINTS} blocks with cache_control may be provided. Found {points}."
        )


def _check_ttl(model: Model, request: dict[str, Any], messages: list[Any]) -> None:
    """Longer lives first, in the order tools, system, messages (Portkey gateway#1762); 1h only since Claude 4.5."""
    blocks = [
        *(request.get("toolConfig") or {"tools": []})["tools"],
        *(request.get("system") or []),
        *(block for message in messages for block in message["content"]),
    ]
    lives = [block["cachePoint"].get("ttl") or "5m" for block in blocks if "cachePoint" in block]
    if "1h" in lives and model.family not in ("claude-4.5", "claude-4.6", "claude-5"):
        raise model_refused("cache_control.ttl: this model does not support a ttl of 1h.")
    if lives != sorted(lives, key=lambda life: life != "1h"):
        raise model_refused(
            "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that "
            "blocks are processed in the following order: `tools`, `system`, `messages`."
        )


def _check_output(request: dict[str, Any]) -> None:
    """A schema for the output is JSON, and closed (AWS user guide, structured output)."""
    text_format = (request.get("outputConfig") or {}).get("textFormat")
    if not text_format:
        return
    try:
        schema = json.loads(text_format["structure"]["jsonSchema"]["schema"])
    except json.JsonError:
        schema = None
    if not isinstance(schema, dict):
        raise invalid("The value at outputConfig.textFormat.structure.jsonSchema.schema is not a valid JSON schema.")
    if words := complaint(schema):
        raise model_refused(f"output_config.format.schema: {words}")
