"""A client that sends requests all the time and records failed ones."""

import threading
import time
from typing import Any

import httpx

_PAUSE_SECONDS = 0.04


class Traffic:
    """Sends requests to a gateway from two threads, streamed and not, without retries.

    Args:
        url: base URL of the gateway.
        key: API key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.sent = 0
        self.lost: list[str] = []
        self.slowest = 0.0

    def __enter__(self) -> "Traffic":
        self._threads = [threading.Thread(target=self._run, args=(streamed,)) for streamed in (False, True)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _run(self, streamed: bool) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=30) as client:
            while not self._ending.is_set():
                before = time.monotonic()
                fault = self._call(client, streamed)
                seconds = time.monotonic() - before
                with self._lock:
                    self.sent += 1
                    self.slowest = max(self.slowest, seconds)
                    if fault:
                        self.lost.append(f"{time.strftime('%H:%M:%S')} {fault}")
                self._ending.wait(_PAUSE_SECONDS)

    @staticmethod
    def _call(client: httpx.Client, streamed: bool) -> str:
        body: dict[str, Any] = {"messages": [{"role": "user", "content": "all the time"}], "stream": streamed}
        try:
            answer = client.post("/v1/chat/completions", json=body)
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        if answer.status_code != 200:
            return f"status {answer.status_code}: {answer.text[:200]}"
        if streamed:
            return "" if answer.text.rstrip().endswith("data: [DONE]") else "an incomplete stream"
        return "" if answer.json()["choices"][0]["message"]["content"] == "all the time" else "an unexpected response"
