"""The smoke test after a deployment: the requests of `python -m app check`, sent over HTTP with an API key."""

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
    """An HTTP response. Status 0 means that there was no response."""

    status: int
    body: str


class Smoke:
    """Sends three requests to a gateway.

    Args:
        url: base URL of the gateway.
        key: API key.
        via: host to connect to, if the name in `url` may not resolve to it yet.
        timeout: seconds for which temporary failures are retried.
    """

    def __init__(self, url: str, key: str, via: str = "", timeout: float = 30.0) -> None:
        self._url = urlsplit(url.rstrip("/"))
        self._key = key.strip()
        self._via = via
        self._timeout = timeout

    def run(self, progress: Progress) -> str:
        """Request health, readiness and a chat completion; return what failed, or an empty string."""
        steps: tuple[tuple[str, Callable[[], str]], ...] = (
            ("health", self._health),
            ("ready", self._ready),
            ("chat call", self._chat),
        )
        for name, step in steps:
            started = time.monotonic()
            while (fault := step()) and time.monotonic() - started < self._timeout and fault.startswith("(temporary) "):
                time.sleep(0.5)
            fault = fault.removeprefix("(temporary) ")
            milliseconds = (time.monotonic() - started) * 1000
            # throttling by Bedrock is not a defect of this version, so it must not cause a rollback
            is_throttled = step == self._chat and fault.startswith("status 429")
            verdict = "busy" if is_throttled else "FAIL" if fault else "ok  "
            progress.say(f"  {verdict} {name:<10} {milliseconds:6.0f} ms  {fault}".rstrip())
            if fault and not is_throttled:
                return f"{name}: {fault}"
        return ""

    def _health(self) -> str:
        return self._expect(self._request("GET", "/health"))

    def _ready(self) -> str:
        return self._expect(self._request("GET", "/health/ready"))

    def _chat(self) -> str:
        body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
        answer = self._request("POST", "/v1/chat/completions", json.dumps(body).encode())
        if fault := self._expect(answer):
            return fault
        try:
            choice = json.loads(answer.body)["choices"][0]
            message = choice["message"]
            # a reasoning model may have spent all tokens on reasoning
            has_answered = message["content"] or message.get("reasoning_content") or choice["finish_reason"] == "length"
        except (ValueError, LookupError, TypeError, AttributeError):
            return f"an invalid response: {answer.body[:200]}"
        return "" if has_answered else "an empty response"

    @staticmethod
    def _expect(answer: Answer) -> str:
        if answer.status == 200:
            return ""
        passing = "(temporary) " if answer.status in _TRANSIENT else ""
        return f"{passing}{f'status {answer.status}: ' if answer.status else ''}{answer.body[:300]}"

    def _request(self, method: str, path: str, body: bytes | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection = self._connection()
        try:
            connection.request(method, self._url.path + path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(errors="replace"))
        except (OSError, http.client.HTTPException) as error:
            # the text of the error may contain the header with the key
            return Answer(0, f"no response from {self._url.netloc}: {type(error).__name__}")
        except ValueError:
            return Answer(400, "the API key of the smoke test has characters that a header cannot contain")
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        return _ConnectionVia(host, self._url.port, self._via or host, is_tls=self._url.scheme == "https")


class _ConnectionVia(http.client.HTTPConnection):
    """Connects to `via` and sends requests for `host`, whose DNS record may not exist yet."""

    def __init__(self, host: str, port: int | None, via: str, *, is_tls: bool) -> None:
        # http.client leaves the default port out of the Host header
        self.default_port = http.client.HTTPS_PORT if is_tls else http.client.HTTP_PORT
        super().__init__(host, port, timeout=_CALL_SECONDS)
        self._via = via
        self._is_tls = is_tls

    def connect(self) -> None:
        """Connect to `via`; with TLS, verify the certificate of `host`."""
        self.sock = socket.create_connection((self._via, self.port), _CALL_SECONDS)
        if self._is_tls:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
