"""Lists the input items of a stored response: `GET /v1/responses/{id}/input_items`.

Source: docs/reference/contracts/openai-responses.md#objects
"""

import re
from urllib.parse import parse_qs

from app.errors import InvalidRequest
from app.wire.json import JsonObject

_PAGE, _MAX = 20, 100


def page_of(items: list[JsonObject], response_id: str, query: str) -> JsonObject:
    """Return a page of the items, newest first unless the query says otherwise.

    Args:
        items: as they were sent, or as earlier responses had them. query: `limit`, `order` and `after`.

    Raises:
        InvalidRequest: a value of the query is invalid, with its name.
    """
    parameters = {name: values[-1] for name, values in parse_qs(query).items()}
    limit, order = parameters.get("limit", str(_PAGE)), parameters.get("order", "desc")
    if not re.fullmatch("[0-9]{1,3}", limit) or not 1 <= int(limit) <= _MAX:
        raise InvalidRequest(f"must be a number from 1 to {_MAX}", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("must be asc or desc", param="order")
    listed = completed_items(items, response_id)
    if order == "desc":
        listed.reverse()
    if "after" in parameters:
        ids = [item["id"] for item in listed]
        if parameters["after"] not in ids:
            raise InvalidRequest("there is no such item", param="after")
        listed = listed[ids.index(parameters["after"]) + 1 :]
    page = listed[: int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(listed) > len(page),
    }


def completed_items(items: list[JsonObject], response_id: str) -> list[JsonObject]:
    """Return items with the members that a request may omit, without `encrypted_content`, and with ids of their own."""
    completed = [_complete_item(item, index, response_id) for index, item in enumerate(items)]
    _make_ids_unique(completed, response_id)
    return completed


def _id_of(index: int, response_id: str) -> str:
    return f"item_{index}_{response_id.removeprefix('resp_')}"


def _make_ids_unique(items: list[JsonObject], response_id: str) -> None:
    """Give new ids to items whose id another item has, so that `after` is unambiguous."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item["id"] in seen:
            item["id"] = _id_of(index, response_id)
        seen.add(item["id"])


def _complete_item(item: JsonObject, index: int, response_id: str) -> JsonObject:
    """Return an item with the members that a request may omit, and without `encrypted_content`."""
    made = {name: value for name, value in item.items() if name != "encrypted_content"}
    made.setdefault("type", "message")
    if not isinstance(made.get("id"), str) or not made["id"]:
        made["id"] = _id_of(index, response_id)
    if made["type"] == "message" and isinstance(made.get("content"), str):
        kind = "output_text" if made.get("role") == "assistant" else "input_text"
        made["content"] = [{"type": kind, "text": made["content"]}]
    return made
