"""What a caller may refer to later: whole answers with their conversations, and each item of them."""

from functools import partial
from typing import Any

from msgspec import Struct

from app.errors import Overloaded
from app.execution.request_context import RequestContext
from app.process.off_loop import off_loop
from app.storage.responses import ResponseStore
from app.wire import json


class KeptResponses(Struct, frozen=True):
    """What is kept for one caller; what comes back is part of the request, and counts as such.

    Reading and forgetting raise `Overloaded` where the store cannot be reached.
    """

    store: ResponseStore
    context: RequestContext

    @property
    def owner(self) -> str:
        """The caller, by name."""
        return self.context.caller.name

    async def response(self, response_id: str) -> dict[str, Any] | None:
        """An answer, if it is kept."""
        stored = await self._get(f"response/{response_id}")
        return None if stored is None else stored["response"]

    async def conversation(self, response_id: str) -> list[Any] | None:
        """All items that led to an answer, and its own, if it is kept."""
        stored = await self._get(f"response/{response_id}")
        return None if stored is None else stored["items"]

    async def led_to(self, response_id: str) -> list[Any] | None:
        """The items that led to an answer, without its own, if it is kept."""
        stored = await self._get(f"response/{response_id}")
        if stored is None:
            return None
        items: list[Any] = stored["items"]
        return items[: len(items) - len(stored["response"]["output"])]

    async def item(self, item_id: str) -> Any:
        """An item of an answer, or None."""
        return await self._get(f"item/{item_id}")

    async def keep(self, response: dict[str, Any], items: list[Any]) -> dict[str, Any]:
        """The answer, kept with the items that led to it. That it cannot be is no reason to lose it: it says so."""
        if not response["store"]:
            return response
        try:
            entries = await off_loop(self.context.size, partial(_entries, response, items))
            is_kept = await self.store.put(self.owner, response["id"], entries)
        except (Overloaded, RecursionError):
            is_kept = False
        return {**response, "store": is_kept}

    async def forget(self, response_id: str) -> bool:
        """Forget an answer and its items; False if it was not kept."""
        return await self.store.delete(self.owner, response_id)

    async def _get(self, key: str) -> Any:
        stored = await self.store.get(self.owner, key)
        if stored is None:
            return None
        self.context.recall(len(stored))
        return await off_loop(len(stored), partial(json.loads, stored))


def _entries(response: dict[str, Any], items: list[Any]) -> dict[str, bytes]:
    entries = {f"item/{item['id']}": json.dumps(item) for item in response["output"] if isinstance(item.get("id"), str)}
    entries[f"response/{response['id']}"] = json.dumps({"response": response, "items": [*items, *response["output"]]})
    return entries
