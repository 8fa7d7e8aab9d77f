"""The check that follows a deployment: what `python -m app check` tries, over HTTP, as a caller."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from scripts.deploy.progress import Progress

_TRANSIENT = {0, 502, 503, 504}
_CALL_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. A status of 0 means that there was none."""

    status: int
    body: str


class Smoke:
    """Asks a gateway three things.

    Args:
        url: its base. key: an API key. patience: seconds for which what passes by itself is tried again.
    """

    def __init__(self, url: str, key: str, patience: float = 30.0) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._patience = patience

    def run(self, progress: Progress) -> str:
        """Ask health, readiness and one chat call; returns what failed, or nothing."""
        steps: tuple[tuple[str, Callable[[], str]], ...] = (
            ("health", self._health),
            ("ready", self._ready),
            ("chat call", self._chat),
        )
        for name, step in steps:
            started = time.monotonic()
            while (fault := step()) and time.monotonic() - started < self._patience and fault.startswith("(passing) "):
                time.sleep(0.5)
            fault = fault.removeprefix("(passing) ")
            progress.say(
                f"  {'FAIL' if fault else 'ok  '} {name:<10} {(time.monotonic() - started) * 1000:6.0f} ms  {fault}"
            )
            if fault:
                return f"{name}: {fault}"
        return ""

    def _health(self) -> str:
        return self._expect(self._ask("GET", "/health"))

    def _ready(self) -> str:
        return self._expect(self._ask("GET", "/health/ready"))

    def _chat(self) -> str:
        body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
        answer = self._ask("POST", "/v1/chat/completions", json.dumps(body).encode())
        if fault := self._expect(answer):
            return fault
        try:
            said = json.loads(answer.body)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            return f"an answer that makes no sense: {answer.body[:200]}"
        return "" if said else "an empty answer"

    @staticmethod
    def _expect(answer: Answer) -> str:
        if answer.status == 200:
            return ""
        passing = "(passing) " if answer.status in _TRANSIENT else ""
        return f"{passing}{f'status {answer.status}: ' if answer.status else ''}{answer.body[:300]}"

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, body, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_CALL_SECONDS) as answer:  # noqa: S310
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(errors="replace"))
        except (OSError, ValueError) as error:
            return Answer(0, f"no answer from {self._url}: {getattr(error, 'reason', error)}")
