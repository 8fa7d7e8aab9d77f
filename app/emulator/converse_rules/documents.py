"""Documents: their names, their number, and the text that must accompany them."""

import re

from app.converse.request import Message
from app.emulator.errors import invalid

_NAME = re.compile(r"[A-Za-z0-9_()\[\]-]+( [A-Za-z0-9_()\[\]-]+)*\Z")
_MAX_DOCUMENTS = 5


def check_documents(messages: list[Message]) -> None:
    """Check the documents of each message, then those of the whole request."""
    names = [name for message in messages for name in _names_in(message)]
    if len(names) > _MAX_DOCUMENTS:
        # generative-ai-use-cases#1685
        raise invalid(
            f"You can't include more than {_MAX_DOCUMENTS} documents in a request. Reduce the number of "
            "documents and retry your request."
        )
    if len(set(names)) < len(names):
        # bifrost#7003, ag-ui#2425
        raise invalid("Messages can't contain duplicate document names. Rename the document and retry your request.")


def _names_in(message: Message) -> list[str]:
    names = [block["document"]["name"] for block in message["content"] if "document" in block]
    if names and not any("text" in block for block in message["content"]):
        # archestra#4220
        raise invalid("A text block must be included when using documents. Add a text block and retry your request.")
    if not all(_NAME.match(name) for name in names):
        # llm-bedrock#8, vercel/ai#20365; a recording shows an underscore accepted
        raise invalid(
            "The document file name can only contain alphanumeric characters, whitespace characters, "
            "hyphens, parentheses, and square brackets. The name can't contain more than one "
            "consecutive whitespace character. Check that the file name conforms to these "
            "restrictions and retry your request."
        )
    return names
