"""Callers that flood two gateways before a Bedrock with a quota, beside a small team."""

import asyncio
import json
import random
import statistics
import time
from dataclasses import dataclass, field

import httpx

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
INPUT, OUTPUT, MAX_TOKENS = 200, 40, 300
# the text has about four bytes for each token
_PADDING = "x" * (4 * INPUT)


@dataclass
class Outcome:
    """What a team got. statuses: of the calls that failed."""

    sent: int = 0
    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def succeeded(self) -> int:
        return len(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("inf")


class Callers:
    """Callers of several gateways. keys: the secret of each team's key."""

    def __init__(self, gateways: list[str], keys: dict[str, str]) -> None:
        self._gateways = gateways
        self._keys = keys
        self.outcomes = {team: Outcome() for team in keys}

    async def run(self, seconds: float, callers: dict[str, tuple[int, float]]) -> None:
        """Call until the time is over. callers: how many each team has, and their pause between two calls."""
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
            until = time.monotonic() + seconds
            tasks = [
                asyncio.create_task(self._call_until(client, until, team, number, pause))
                for team, (count, pause) in callers.items()
                for number in range(count)
            ]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call_until(self, client: httpx.AsyncClient, until: float, team: str, number: int, pause: float) -> None:
        outcome, turn = self.outcomes[team], number
        while time.monotonic() < until:
            turn += 1
            started = time.monotonic()
            outcome.sent += 1
            output = max(int(random.gammavariate(4, OUTPUT / 4)), 1)
            call = json.dumps({"input": INPUT, "output": output})
            body = {
                "model": MODEL,
                "max_completion_tokens": MAX_TOKENS,
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": text} for text in (_PADDING, call)]}
                ],
            }
            headers = {"authorization": f"Bearer {self._keys[team]}"}
            url = f"{self._gateways[turn % len(self._gateways)]}/v1/chat/completions"
            try:
                response = await client.post(url, json=body, headers=headers)
                status = response.status_code
            except httpx.HTTPError:
                status = 0
            if status == 200:
                outcome.seconds.append(time.monotonic() - started)
                await asyncio.sleep(pause)
            else:
                outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
                await asyncio.sleep(float(response.headers.get("retry-after", 1)) if status == 429 else 0.2)
