"""The ids of tool calls and results, as one model accepts them."""

import hashlib
import re
from collections import deque

from app.adaptation.unique_names import Unused

# botocore's service model; Kimi needs its `functions.name:0`
CONVERSES = re.compile(r"[a-zA-Z0-9_.:-]{1,64}\Z")
# bifrost#5097; over Converse both must be satisfied (litellm#24210)
CLAUDES_OWN = re.compile(r"[a-zA-Z0-9_-]+\Z")
CLAUDES = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
# leaves room for a number
_BEGINNING = 58


class CallIds:
    """Makes the ids of calls legal and unique. Results get the ids of their calls, in the order of both.

    Args:
        legal: the pattern of accepted ids.
    """

    def __init__(self, legal: re.Pattern[str]) -> None:
        self._legal = legal
        self._ids = Unused("{}-{}")
        self._waiting: dict[str, deque[str]] = {}

    def of_call(self, given: str) -> str:
        """Return the id for the next call with a given id."""
        wanted = given if self._legal.match(given) else "id_" + hashlib.sha256(given.encode()).hexdigest()[:24]
        sent = self._ids.take(wanted, wanted[:_BEGINNING])
        self._waiting.setdefault(given, deque()).append(sent)
        return sent

    def of_result(self, given: str) -> str:
        """Return the id for the next result with a given id."""
        calls = self._waiting.get(given)
        return calls.popleft() if calls else given
