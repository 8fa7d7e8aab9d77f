"""Callers that flood two gateways before a Bedrock with a quota, beside a small team."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
INPUT, OUTPUT, MAX_TOKENS = 200, 40, 300
# the text has about four bytes for each token
_PADDING = "x" * (4 * INPUT)


# a call that has not ended so long after the last one began is cut off
_GRACE_SECONDS = 5.0
# what the SDKs of OpenAI and Anthropic do after a refused or broken connection; a load balancer has another gateway then
_MAX_RETRIES, _FIRST_RETRY_SECONDS = 2, 0.5


@dataclass
class Outcome:
    """What a team got. sent: calls that ended. cut_off: calls that did not.

    statuses: of the calls that failed; 0 for those without an answer. reconnected: tries without an answer.
    """

    sent: int = 0
    cut_off: int = 0
    reconnected: int = 0
    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def succeeded(self) -> int:
        return len(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("inf")


class Callers:
    """Callers of several gateways. keys: the secret of each team's key. at_end: called when no more calls begin."""

    def __init__(self, gateways: list[str], keys: dict[str, str], at_end: Callable[[], object] = lambda: None) -> None:
        self._gateways = gateways
        self._keys = keys
        self.at_end = at_end
        self.outcomes = {team: Outcome() for team in keys}

    async def run(self, seconds: float, callers: dict[str, tuple[int, float]]) -> None:
        """Begin calls until the time is over. callers: how many each team has, and their pause between two calls."""
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
            until = time.monotonic() + seconds
            tasks = [
                asyncio.create_task(self._call_until(client, until, team, number, pause))
                for team, (count, pause) in callers.items()
                for number in range(count)
            ]
            await asyncio.sleep(seconds)
            self.at_end()
            await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call_until(self, client: httpx.AsyncClient, until: float, team: str, number: int, pause: float) -> None:
        outcome, turn = self.outcomes[team], number
        while time.monotonic() < until:
            turn += 1
            started = time.monotonic()
            try:
                response = await self._call(client, team, turn)
            except asyncio.CancelledError:
                outcome.cut_off += 1
                raise
            outcome.sent += 1
            if response is not None and response.status_code == 200:
                outcome.seconds.append(time.monotonic() - started)
                await asyncio.sleep(pause)
                continue
            status = 0 if response is None else response.status_code
            outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
            wait = float(response.headers.get("retry-after", 1)) if response is not None and status == 429 else 0.2
            await asyncio.sleep(wait)

    async def _call(self, client: httpx.AsyncClient, team: str, turn: int) -> httpx.Response | None:
        """Make a call; None if no gateway could be reached."""
        output = max(int(random.gammavariate(4, OUTPUT / 4)), 1)
        call = json.dumps({"input": INPUT, "output": output})
        texts = [{"type": "text", "text": text} for text in (_PADDING, call)]
        body = {
            "model": MODEL,
            "max_completion_tokens": MAX_TOKENS,
            "messages": [{"role": "user", "content": texts}],
        }
        headers = {"authorization": f"Bearer {self._keys[team]}"}
        for tried in range(_MAX_RETRIES + 1):
            url = f"{self._gateways[(turn + tried) % len(self._gateways)]}/v1/chat/completions"
            try:
                return await client.post(url, json=body, headers=headers)
            except httpx.HTTPError:
                self.outcomes[team].reconnected += 1
                await asyncio.sleep(_FIRST_RETRY_SECONDS * 2**tried * random.uniform(0.75, 1))
        return None
