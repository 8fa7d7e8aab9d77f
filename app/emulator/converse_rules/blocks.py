"""Content blocks one by one: which role may send them, how large they are, and what they hold."""

from app.converse.content import ContentBlock, ToolResultBlock
from app.converse.request import Message
from app.emulator.errors import invalid, model_refused

_MAX_DOCUMENT = int(4.5 * 1024 * 1024)
_MAX_IMAGE = int(3.75 * 1024 * 1024)

_REFUSED_BY_ROLE: dict[str, tuple[str, ...]] = {
    "assistant": ("image", "document", "video"),
    "user": ("toolUse", "reasoningContent"),
    "system": (),
}


def check_blocks(messages: list[Message]) -> None:
    """Check every content block by itself."""
    for turn, message in enumerate(messages):
        if not message["content"]:
            # earendil-works/pi#3443
            raise invalid(
                f"The content field in the Message object at messages.{turn} is empty. Add a ContentBlock "
                "object to the content field and try again."
            )
        has_document = any("document" in block for block in message["content"])
        for index, block in enumerate(message["content"]):
            path = f"messages.{turn}.content.{index}"
            _check_role(block, message["role"], turn)
            _check_tool_input(block, turn)
            _check_size(block)
            _check_text(block, path, has_document=has_document)
            result = block.get("toolResult")
            if result is not None:
                _check_result(result, path)


def _check_role(block: ContentBlock, role: str, turn: int) -> None:
    """The documentation in the service model, and ai-dial-adapter#306."""
    for kind in _REFUSED_BY_ROLE[role]:
        if block.get(kind) is not None:
            raise model_refused(f"messages.{turn}.content: '{kind}' blocks are not permitted within {role} turns.")
    result = block.get("toolResult")
    if role == "assistant" and result is not None and not result.get("type"):
        raise model_refused(f"messages.{turn}.content: 'toolResult' blocks are not permitted within assistant turns.")


def _check_tool_input(block: ContentBlock, turn: int) -> None:
    use = block.get("toolUse")
    if use is not None and not isinstance(use["input"], dict):
        raise invalid(
            f"The format of the value at messages.{turn}.content.toolUse.input is invalid. Provide a json "
            "object for the field and try again."
        )


def _check_size(block: ContentBlock) -> None:
    image, document = block.get("image"), block.get("document")
    if image is not None and _decoded_size(image["source"].get("bytes")) > _MAX_IMAGE:
        raise invalid("The maximum image size is 3.75 MB. Reduce the size of your image and retry your request.")
    if document is not None and _decoded_size(document["source"].get("bytes")) > _MAX_DOCUMENT:
        raise invalid("The maximum document size is 4.5 MB. Reduce the size of your document and retry your request.")


def _decoded_size(base64: str | None) -> int:
    return len(base64 or "") * 3 // 4


def _check_text(block: ContentBlock, path: str, *, has_document: bool) -> None:
    """langchain-aws#403, OpenHands#5339; a recording shows that "\\n" beside a document is accepted."""
    if "text" not in block or block["text"].strip():
        return
    if not (has_document and block["text"]):
        raise invalid(
            f"The text field in the ContentBlock object at {path} is blank. Add text to the text field, and try again."
        )


def _check_result(result: ToolResultBlock, path: str) -> None:
    if result.get("status") == "error" and not result["content"]:
        raise invalid(f"The content field at {path}.toolResult cannot be empty when status value is error.")
    for index, part in enumerate(result["content"]):
        if "json" in part and not isinstance(part["json"], dict):
            # aws-sdk-js-v3#7330
            raise invalid(
                f"The format of the value at {path}.toolResult.content.{index}.json is invalid. Provide a "
                "json object for the field and try again."
            )
