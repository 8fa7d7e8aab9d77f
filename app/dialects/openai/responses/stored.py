"""Stores responses with their conversations, and each item, for later requests of the caller."""

from functools import partial
from typing import Any

from msgspec import Struct

from app.dialects.openai.responses.connection_responses import ConnectionResponses
from app.errors import InvalidRequest, Overloaded
from app.execution.request_context import RequestContext
from app.process.off_loop import off_loop
from app.storage.responses import ResponseStore
from app.wire import json
from app.wire.json import JsonObject

# the status of a response that runs in the background
IN_PROGRESS = "in_progress"


class CallersResponses(Struct, frozen=True):
    """The stored responses of one caller. A conversation or an item counts as part of the request's body.

    Reading and deleting raise `Overloaded` if the store cannot be reached.

    connection: what the caller's WebSocket keeps besides; None for a request of HTTP.
    """

    store: ResponseStore
    context: RequestContext
    connection: ConnectionResponses | None = None

    @property
    def owner(self) -> str:
        """The name of the caller."""
        return self.context.caller.name

    async def response(self, response_id: str) -> JsonObject | None:
        """Return a response, or None."""
        stored = await self._get(f"response/{response_id}")
        return None if stored is None else stored["response"]

    async def entry(self, response_id: str) -> Any:
        """Return a response with its items, `{"response": …, "items": …}`, or None."""
        return await self._get(f"response/{response_id}")

    async def conversation(self, response_id: str) -> list[object] | None:
        """Return all items of the conversation up to a response, its own included; None if it is not stored.

        Raises:
            InvalidRequest: it still runs in the background.
        """
        stored = await self._get(f"response/{response_id}", is_of_body=True)
        if stored is not None and stored["response"]["status"] == IN_PROGRESS:
            raise InvalidRequest(f"the response {response_id!r} is still in progress", param="previous_response_id")
        return None if stored is None else stored["items"]

    async def input_items(self, response_id: str) -> list[JsonObject] | None:
        """Return the input items of a response; None if it is not stored."""
        stored = await self._get(f"response/{response_id}")
        if stored is None:
            return None
        items: list[JsonObject] = stored["items"]
        return items[: len(items) - len(stored["response"]["output"])]

    async def item(self, item_id: str) -> Any:
        """Return an item of a response, or None."""
        return await self._get(f"item/{item_id}", is_of_body=True)

    async def keep(self, response: JsonObject, items: list[object]) -> JsonObject:
        """Store a response with its input items. Returns it, with `store` set to False if that failed."""
        is_kept: bool = response["store"]
        if not is_kept and self.connection is None:
            return response
        try:
            entries = await off_loop(self.context.caller.name, self.context.size, partial(entries_of, response, items))
            if self.connection is not None:
                await self.connection.put(self.owner, entries)
            if is_kept:
                is_kept = await self.store.put(self.owner, response["id"], entries)
        except (Overloaded, RecursionError):
            is_kept = False
        return {**response, "store": is_kept}

    async def leave_connection(self, response_id: str) -> None:
        """Forget a response of the connection: if its continuation succeeds, the connection keeps that instead."""
        if self.connection is not None and await self.connection.get(self.owner, f"response/{response_id}"):
            await self.connection.delete(self.owner)

    async def delete(self, response_id: str) -> bool:
        """Delete a response and its items. Returns False if it was not stored."""
        return await self.store.delete(self.owner, response_id)

    async def _get(self, key: str, *, is_of_body: bool = False) -> Any:
        stored = None
        if self.connection is not None:
            stored = await self.connection.get(self.owner, key)
        if stored is None:
            stored = await self.store.get(self.owner, key)
        if stored is None:
            return None
        if is_of_body:
            self.context.count_stored(len(stored))
        else:
            self.context.grow(len(stored))
        return await off_loop(self.context.caller.name, len(stored), partial(json.loads, stored))


def entries_of(response: JsonObject, items: list[object]) -> dict[str, bytes]:
    """Return what is stored of a response. items: of its input."""
    entries = {f"item/{item['id']}": json.dumps(item) for item in response["output"] if isinstance(item.get("id"), str)}
    entries[f"response/{response['id']}"] = json.dumps({"response": response, "items": [*items, *response["output"]]})
    return entries
