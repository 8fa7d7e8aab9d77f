"""The check that follows a deployment: what `python -m app check` tries, over HTTP, as a caller."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from scripts.deploy.progress import Progress

_TRANSIENT = {0, 429, 502, 503, 504}
_CALL_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. A status of 0 means that there was none."""

    status: int
    body: str


class Smoke:
    """Asks a gateway three things.

    Args:
        url: its base. key: an API key. via: the host to connect to, where the name in `url` may not lead there yet.
        patience: seconds for which what passes by itself is tried again.
    """

    def __init__(self, url: str, key: str, via: str = "", patience: float = 30.0) -> None:
        self._url = urlsplit(url.rstrip("/"))
        self._key = key.strip()
        self._via = via
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
            milliseconds = (time.monotonic() - started) * 1000
            # who is throttled serves: going back would not help, and may bring back what was left for a reason
            is_throttled = step == self._chat and fault.startswith("status 429")
            verdict = "busy" if is_throttled else "FAIL" if fault else "ok  "
            progress.say(f"  {verdict} {name:<10} {milliseconds:6.0f} ms  {fault}".rstrip())
            if fault and not is_throttled:
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
            choice = json.loads(answer.body)["choices"][0]
            message = choice["message"]
            # a model that thinks first may have used all its tokens for that
            has_answered = message["content"] or message.get("reasoning_content") or choice["finish_reason"] == "length"
        except (ValueError, LookupError, TypeError, AttributeError):
            return f"an answer that makes no sense: {answer.body[:200]}"
        return "" if has_answered else "an empty answer"

    @staticmethod
    def _expect(answer: Answer) -> str:
        if answer.status == 200:
            return ""
        passing = "(passing) " if answer.status in _TRANSIENT else ""
        return f"{passing}{f'status {answer.status}: ' if answer.status else ''}{answer.body[:300]}"

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection = self._connection()
        try:
            connection.request(method, self._url.path + path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(errors="replace"))
        except (OSError, http.client.HTTPException) as error:
            # an error's own text may hold a header, and so the key
            return Answer(0, f"no answer from {self._url.netloc}: {type(error).__name__}")
        except ValueError:
            return Answer(400, "the key of the smoke test is not one that a header can carry")
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        return _ByName(host, self._url.port, self._via or host, is_tls=self._url.scheme == "https")


class _ByName(http.client.HTTPConnection):
    """Connects to one host and asks it as another: a name may not lead to its load balancer yet."""

    def __init__(self, host: str, port: int | None, via: str, *, is_tls: bool) -> None:
        # which is left out of the head, as it is of the address
        self.default_port = http.client.HTTPS_PORT if is_tls else http.client.HTTP_PORT
        super().__init__(host, port, timeout=_CALL_SECONDS)
        self._via = via
        self._is_tls = is_tls

    def connect(self) -> None:
        """Connect, and where it is by TLS expect the certificate of the host that is asked."""
        self.sock = socket.create_connection((self._via, self.port), _CALL_SECONDS)
        if self._is_tls:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
