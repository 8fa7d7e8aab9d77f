"""The ids by which calls of tools and their results belong together, as one model takes them."""

import hashlib
import re
from collections import deque

from app.adaptation.unique_names import Unused

# botocore's service model; Kimi needs its `functions.name:0`
CONVERSES = re.compile(r"[a-zA-Z0-9_.:-]{1,64}\Z")
# bifrost#5097; over Converse both must be satisfied (litellm#24210)
CLAUDES_OWN = re.compile(r"[a-zA-Z0-9_-]+\Z")
CLAUDES = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
# which leaves room for a number
_BEGINNING = 58


class CallIds:
    """Gives calls legal ids, each once; results get those of their id's calls, in the order of both.

    Args:
        legal: what ids that are taken match.
    """

    def __init__(self, legal: re.Pattern[str]) -> None:
        self._legal = legal
        self._ids = Unused("{}-{}")
        self._waiting: dict[str, deque[str]] = {}

    def of_call(self, given: str) -> str:
        """The id of the next call that has this one."""
        wanted = given if self._legal.match(given) else "id_" + hashlib.sha256(given.encode()).hexdigest()[:24]
        sent = self._ids.take(wanted, wanted[:_BEGINNING])
        self._waiting.setdefault(given, deque()).append(sent)
        return sent

    def of_result(self, given: str) -> str:
        """The id of the next result for this one."""
        calls = self._waiting.get(given)
        return calls.popleft() if calls else given
