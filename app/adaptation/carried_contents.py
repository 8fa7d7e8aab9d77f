"""The content of Converse that APIs other than Converse can carry, and how OpenAI's do."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn, cast

from app.converse.content import CitationsContentBlock, DocumentBlock, ImageBlock, SearchResultBlock
from app.converse.media import DOCUMENT_FORMATS
from app.converse.request import ConverseRequest
from app.errors import InvalidRequest
from app.wire import json
from app.wire.json import JsonObject

_MEDIA_TYPES = {kind: media_type for media_type, kind in DOCUMENT_FORMATS.items()}
# what is read as it is, and what no model needs
_TEXTS = frozenset({"text", "guardContent", "citationsContent", "searchResult"})
_CARRIED: dict[str, frozenset[str]] = {
    "user": _TEXTS | {"cachePoint", "document", "image", "reasoningContent", "toolResult"},
    "assistant": _TEXTS | {"cachePoint", "reasoningContent", "toolUse"},
    "system": _TEXTS | {"cachePoint"},
}
_IN_RESULTS = frozenset({"document", "image", "json", "searchResult", "text"})
# members of the body that are translated; those that only inform have no effect and are named
_MEMBERS = frozenset(
    {
        "additionalModelRequestFields",
        "inferenceConfig",
        "messages",
        "outputConfig",
        "requestMetadata",
        "serviceTier",
        "system",
        "toolConfig",
    }
)
_WITHOUT_EFFECT = frozenset({"additionalModelResponseFieldPaths", "performanceConfig", "projectIdentifier"})
_OBJECT = "must be an object"
_NOT_HERE = "cannot be sent to this model, which Converse does not serve"


def refuse_uncarried(body: ConverseRequest, names: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse what these APIs cannot carry. names: as in `ModelCall`.

    Raises:
        InvalidRequest: with the path of the field.
    """
    if "video" in names:
        _refuse(names["video"][0])
    for member in body:
        if member not in _MEMBERS and member not in _WITHOUT_EFFECT:
            _refuse(member)
    _refuse_blocks(body.get("system", ()), "system", _CARRIED["system"])
    for index, tool in enumerate(body.get("toolConfig", {}).get("tools", ())):
        if len(tool) != 1 or not tool.keys() <= {"toolSpec", "systemTool", "cachePoint"}:
            raise InvalidRequest("must have a toolSpec", param=f"toolConfig.tools[{index}]")
        if "systemTool" in tool:
            _refuse(f"toolConfig.tools[{index}].systemTool")
        if "toolSpec" in tool and not isinstance(tool["toolSpec"]["inputSchema"].get("json"), dict):
            raise InvalidRequest(_OBJECT, param=f"toolConfig.tools[{index}].toolSpec.inputSchema.json")
    if not isinstance(body.get("additionalModelRequestFields", {}), dict):
        raise InvalidRequest(_OBJECT, param="additionalModelRequestFields")
    wanted = body.get("outputConfig", {}).get("textFormat")
    if wanted is not None and "schema" not in wanted["structure"].get("jsonSchema", {}):
        raise InvalidRequest("is missing", param="outputConfig.textFormat.structure.jsonSchema.schema")
    for index, message in enumerate(body.get("messages", ())):
        _refuse_blocks(message["content"], f"messages[{index}].content", _CARRIED[message["role"]])


def ignored_members(body: ConverseRequest) -> list[str]:
    """Return the members of a body that have no effect."""
    return [member for member in body if member in _WITHOUT_EFFECT]


def _refuse_blocks(blocks: Iterable[object], path: str, carried: frozenset[str]) -> None:
    for index, block in enumerate(cast(Iterable[JsonObject], blocks)):
        if len(block) != 1:
            raise InvalidRequest("must be an object with exactly one member", param=f"{path}[{index}]")
        ((kind, value),) = block.items()
        here = f"{path}[{index}].{kind}"
        match kind, value:
            case _ if kind not in carried:
                _refuse(here)
            case (("toolUse" | "toolResult"), {"type": _}):
                _refuse(f"{here}.type")
            case "toolResult", {"content": content}:
                _refuse_blocks(content, f"{here}.content", _IN_RESULTS)
            case "guardContent", {"image": _}:
                _refuse(f"{here}.image")
            case "image", {"source": source} if not source.keys() & {"bytes", "s3Location"}:
                raise InvalidRequest("an image needs bytes or s3Location", param=f"{here}.source")
            case "document", {"source": source} if not source.keys() & {"bytes", "content", "text"}:
                _refuse(f"{here}.source")


def _refuse(path: str) -> NoReturn:
    raise InvalidRequest(_NOT_HERE, param=path)


def text_of(block: Any) -> str | None:
    """Return the text of a block that is carried as text; None for another block."""
    match block:
        case {"text": text} | {"guardContent": {"text": {"text": text}}}:
            return str(text)
        case {"json": document}:
            return json.dumps_text(document)
        case {"citationsContent": cited}:
            return _cited_text(cited)
        case {"searchResult": found}:
            return _found_text(found)
        case {"document": {"source": {"text": text}} as document}:
            return _titled(document, text)
        case {"document": {"source": {"content": pieces}} as document}:
            return _titled(document, "\n\n".join(piece.get("text", "") for piece in pieces))
        case _:
            return None


def _cited_text(cited: CitationsContentBlock) -> str:
    return "".join(piece.get("text", "") for piece in cited.get("content", []))


def _found_text(found: SearchResultBlock) -> str:
    texts = [piece["text"] for piece in found["content"]]
    return "\n\n".join([f"{found['title']} ({found['source']})", *texts])


def _titled(document: DocumentBlock, text: str) -> str:
    return "\n\n".join(part for part in (document["name"], document.get("context"), text) if part)


def image_url(image: ImageBlock) -> str:
    """Return the URL of an image: its data, or its URI in S3."""
    source = image["source"]
    if "s3Location" in source:
        return source["s3Location"]["uri"]
    return f"data:image/{image['format']};base64,{source['bytes']}"


def file_of(document: DocumentBlock) -> JsonObject:
    """Return `filename` and `file_data` of a document."""
    kind = document.get("format", "txt")
    media_type = _MEDIA_TYPES.get(kind, "application/octet-stream")
    data = f"data:{media_type};base64,{document['source']['bytes']}"
    return {"filename": f"{document['name']}.{kind}", "file_data": data}


def system_text(body: ConverseRequest) -> str:
    """Return the system prompt as one text."""
    return "\n\n".join(text for block in body.get("system", ()) if (text := text_of(block)))


def result_parts(content: Iterable[object], *, has_failed: bool) -> Iterator[object]:
    """Yield the parts of a tool result; a failure has no member of its own, so a first text says it."""
    if has_failed:
        yield {"text": "The tool failed:"}
    yield from content


def is_strict(schema: object) -> bool:
    """Tell whether OpenAI's strict mode accepts a schema: every object names all its members, and requires them."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema:
        named, required = schema.get("properties") or {}, schema.get("required") or ()
        if schema.get("additionalProperties") is not False or {*named} != {*required}:
            return False
    return all(map(is_strict, schema.values()))
