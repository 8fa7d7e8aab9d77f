"""The cache that GPT has without being asked: prefixes of conversations that were sent before.

AWS user guide, prompt caching (2026-11): from 1,024 tokens on.
"""

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import cast

from app.converse.events import Event
from app.converse.request import ConverseRequest
from app.emulator import tokens
from app.wire import json
from app.wire.json import JsonObject

_MIN_TOKENS = 1024
_MAX_PREFIXES = 10_000


class ImplicitCache:
    """Remembers the prefixes of conversations, by model."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, int] = OrderedDict()

    def read(self, model_id: str, request: ConverseRequest) -> int:
        """Return the tokens of the longest prefix that was sent before, and remember those of this request."""
        head = json.dumps([model_id, request.get("system"), request.get("toolConfig")])
        digest, known = hashlib.sha256(head), 0
        for end, message in enumerate(request["messages"], 1):
            digest.update(json.dumps(message))
            key = digest.hexdigest()
            if key in self._tokens:
                known = self._tokens[key]
                self._tokens.move_to_end(key)
            else:
                self._tokens[key] = tokens.count_request({**request, "messages": request["messages"][:end]})
        while len(self._tokens) > _MAX_PREFIXES:
            self._tokens.popitem(last=False)
        return known if known >= _MIN_TOKENS else 0


async def with_cache_counts(events: AsyncIterator[Event], read: int) -> AsyncIterator[Event]:
    """The same events, with the tokens that were read from the cache."""
    async for event in events:
        if read and "metadata" in event:
            metadata = event["metadata"]
            kept = min(read, metadata["usage"]["inputTokens"])
            usage: JsonObject = {**metadata["usage"], "cacheReadInputTokens": kept}
            usage["inputTokens"] -= kept
            yield cast(Event, {"metadata": {**metadata, "usage": usage}})
        else:
            yield event
