"""A Bedrock with a quota, as a process: `python -m tests.quota_bedrock PORT TOKENS_PER_MINUTE [BURST_SECONDS]`.

It enforces the quota of the emulator, and answers Converse after the time that the answer's tokens take. A request says
how many tokens it has and how many are answered: `{"input": 200, "output": 40}` is its last text. GET returns counts.
"""

import asyncio
import json
import sys
import time
from typing import Any

from app.emulator.quotas import Pool
from tests.servers import http_reply, read_request

FIRST_SECONDS, SECONDS_PER_TOKEN = 0.3, 0.005
OUTPUT_RATE = 5
_THROTTLED = http_reply(
    b'{"message":"Too many tokens, please wait before trying again."}',
    "429 Too Many Requests",
    extra="x-amzn-errortype: ThrottlingException\r\n",
)


_DAY_SPENT = http_reply(
    b'{"message":"Too many tokens per day, please wait before trying again."}',
    "429 Too Many Requests",
    extra="x-amzn-errortype: ThrottlingException\r\n",
)


class QuotaBedrock:
    """Answers requests. factor: how much longer answers are than requests say.

    is_day_spent: the quota of tokens per day has nothing left.
    """

    def __init__(self, per_minute: int, burst_seconds: float = 10.0) -> None:
        burst = per_minute * burst_seconds / 60
        self.pool = Pool(per_minute, burst, burst, time.monotonic())
        self.factor = 1.0
        self.is_day_spent = False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection to its end."""
        while True:
            head, body = await read_request(reader)
            if head.startswith(b"GET"):
                pool = self.pool
                counts = {"calls": pool.calls, "throttled": pool.throttled, "settled": pool.settled}
                writer.write(http_reply(json.dumps(counts).encode()))
            elif head.startswith(b"PUT"):
                self.factor = float(body)
                writer.write(http_reply(b"{}"))
            else:
                writer.write(await self._answer(json.loads(body)))
            await writer.drain()

    async def _answer(self, request: dict[str, Any]) -> bytes:
        if self.is_day_spent:
            self.pool.throttled += 1
            return _DAY_SPENT
        call = json.loads(request["messages"][-1]["content"][-1]["text"])
        limit = request["inferenceConfig"]["maxTokens"]
        reserved, output = call["input"] + limit, min(int(call["output"] * self.factor), limit)
        used = call["input"] + output * OUTPUT_RATE
        if not self.pool.take(reserved, time.monotonic()):
            return _THROTTLED
        await asyncio.sleep(FIRST_SECONDS + output * SECONDS_PER_TOKEN)
        self.pool.settle(reserved, used, time.monotonic())
        usage = {"inputTokens": call["input"], "outputTokens": output, "totalTokens": call["input"] + output}
        reply = {
            "output": {"message": {"role": "assistant", "content": [{"text": "done"}]}},
            "stopReason": "end_turn",
            "usage": usage,
            "metrics": {"latencyMs": 1},
        }
        return http_reply(json.dumps(reply).encode())


def main() -> None:
    port, per_minute = int(sys.argv[1]), int(sys.argv[2])
    bedrock = QuotaBedrock(per_minute, *map(float, sys.argv[3:4]))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await bedrock.handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
