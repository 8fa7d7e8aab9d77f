"""Runs an image with the restrictions of production against the embedded Bedrock, and checks it.

    check.py ENGINE IMAGE IDLE_MEGABYTES [engine options]

The embedded Bedrock runs from the same image. Both containers use the network of the host and connect on loopback.
"""

import contextlib
import http.server
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from app.emulator.keys import ACCESS_KEY, SECRET_KEY

RESTRICTIONS = [
    "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "256m", "--pids-limit", "64",
    "--network", "host",
]  # fmt: skip
START_SECONDS = 1.0
STARTS = 3
NAME = "outcrop-check"
BEDROCK = "outcrop-check-bedrock"


def main() -> int:
    """Run every check; return 1 if one fails."""
    engine, image, idle, *options = sys.argv[1:]
    checks = Checks(engine, float(idle))
    with embedded_bedrock(checks, image, options) as upstream, task_role() as credentials:
        checks.run(image, options, upstream, credentials)
    return 1 if checks.failures else 0


TRACING = """
import os
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
from app.observability.observer import RequestRecord
from app.observability.tracing import OpenTelemetryTracer
record = RequestRecord("check", "POST")
record.trace = OpenTelemetryTracer().begin(record, {})
_, span = record.trace.begin_attempt(record, "127.0.0.1:9")
record.trace.end_attempt(record, span, "")
record.trace.end(record)
os._exit(0 if record.trace.trace_id else 1)
"""
MIGRATION = {"DATABASE_URL": "sqlite:////data/outcrop.db", "KEY_PEPPER": "a-pepper-of-the-check-of-the-image"}
DRIVER = "import asyncpg, sqlalchemy.dialects.postgresql.asyncpg"
STORING = "import app.storage.responses_sqlite, sqlite3; sqlite3.connect(':memory:').execute('select 1')"


class Checks:
    """Runs the checks of one image.

    Args:
        engine: docker or podman.
        idle: maximum memory in MB when idle.
    """

    def __init__(self, engine: str, idle: float) -> None:
        self.engine = engine
        self.idle = idle
        self.failures = 0

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine."""
        return subprocess.run([self.engine, *arguments], capture_output=True, text=True, check=False)

    def pid(self) -> str:
        """Return the id of the gateway's process; "0" if it has ended."""
        return self.call("inspect", "--format", "{{.State.Pid}}", NAME).stdout.strip()

    def report(self, succeeded: bool, message: str) -> None:
        """Print a result, and count failures."""
        self.failures += not succeeded
        print(f"  {'ok  ' if succeeded else 'FAIL'} {message}", flush=True)

    def run(self, image: str, options: list[str], upstream: str, credentials: str) -> None:
        """Start the container, check it, and stop it.

        Args:
            upstream: base URL of an embedded Bedrock.
            credentials: URL of the credentials endpoint that ECS provides for a task role.
        """
        self.check_configuration(image)
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        settings = {
            "API_KEYS": "check=check-key-of-the-image",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials,
            "AWS_ENDPOINT_URL_BEDROCK": upstream,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": upstream,
            "AWS_REGION": "us-east-1",
            "BEDROCK_MODEL_ID": "scripted.echo-v1:0",
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }
        environment = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        self.call("rm", "--force", NAME)
        started = self.call("create", "--name", NAME, *options, *RESTRICTIONS, *environment, image)
        if started.returncode:
            self.report(False, f"creates the container: {started.stderr.strip()}")
            return
        try:
            self.check_service(base)
        finally:
            self.call("rm", "--force", NAME)

    def check_configuration(self, image: str) -> None:
        """Check the configuration of the image."""
        (inspected,) = json.loads(self.call("image", "inspect", image).stdout)
        config = inspected.get("Config") or inspected["config"]
        self.report(config.get("User") == "65532:65532", f"runs as user {config.get('User')}")
        names = [entry.partition("=")[0] for entry in config.get("Env", [])]
        suspicious = [name for name in names if "KEY" in name or "SECRET" in name or "TOKEN" in name]
        self.report(not suspicious, f"has no secret in its environment {suspicious or ''}")
        labels = config.get("Labels") or {}
        self.report("org.opencontainers.image.version" in labels, "has the OCI annotations")

    def check_start(self, base: str) -> None:
        """Start the service, and check how soon it responds: again if that takes too long, as other work delays it."""
        for left in reversed(range(STARTS)):
            before, moment = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
            self.call("start", NAME)
            whole = wait_for(f"{base}/health", before)
            started, waited = start_of(self.pid())
            seconds = moment + whole - started - waited
            if seconds < START_SECONDS or not left:
                self.report(
                    seconds < START_SECONDS,
                    f"responds {seconds:.2f} s after its process began (at most {START_SECONDS} s), {waited:.2f} s "
                    f"without a processor left out; {whole:.2f} s after the engine began",
                )
                return
            self.call("stop", "--time", "10", NAME)

    def check_service(self, base: str) -> None:
        """Check the running service."""
        self.check_start(base)
        body = {"messages": [{"role": "user", "content": "hello from the container"}]}
        answer = post(f"{base}/v1/chat/completions", body, "check-key-of-the-image")
        self.report("hello from the container" in answer, "serves a chat request on a read-only root")
        self.report("401" in post(f"{base}/v1/chat/completions", body, "wrong"), "refuses a wrong key")
        probe = self.call("exec", NAME, "/bin/python3", "-m", "app.cli.probe")
        self.report(probe.returncode == 0, f"passes its health check{error_of(probe)}")
        command = self.call("exec", NAME, "/bin/outcrop", "version")
        self.report(command.stdout.startswith("outcrop "), f"has the command outcrop{error_of(command)}")
        for program in ("/bin/sh", "/bin/bash", "/usr/bin/pip", "/bin/ls"):
            self.report(self.call("exec", NAME, program).returncode != 0, f"has no {program}")
        writing = self.call("exec", NAME, "/bin/python3", "-c", "open('/srv/x', 'w')")
        self.report(writing.returncode != 0, "cannot write to its own files")
        storing = self.call("exec", NAME, "/bin/python3", "-c", STORING)
        self.report(storing.returncode == 0, f"has SQLite for RESPONSES_STORE{error_of(storing)}")
        migration = [part for name, value in MIGRATION.items() for part in ("--env", f"{name}={value}")]
        migrating = self.call("exec", *migration, NAME, "/bin/outcrop", "migrate")
        self.report("was created" in migrating.stdout, f"sets up a database in its volume{error_of(migrating)}")
        driving = self.call("exec", NAME, "/bin/python3", "-c", DRIVER)
        self.report(driving.returncode == 0, f"has the driver of PostgreSQL{error_of(driving)}")
        tracing = self.call("exec", NAME, "/bin/python3", "-c", TRACING)
        self.report(tracing.returncode == 0, f"has OpenTelemetry for collectors{error_of(tracing)}")
        megabytes = resident(self.pid())
        self.report(megabytes < self.idle, f"uses {megabytes:.0f} MB when idle (at most {self.idle:.0f} MB)")
        before = time.monotonic()
        self.call("stop", "--time", "10", NAME)
        code = self.call("inspect", "--format", "{{.State.ExitCode}}", NAME).stdout.strip()
        self.report(code == "0", f"exits with code {code}, {time.monotonic() - before:.1f} s after SIGTERM")
        logged = self.call("logs", NAME)
        text = logged.stdout + logged.stderr
        self.report("check-key-of-the-image" not in text and SECRET_KEY not in text, "logs no secret")


@contextlib.contextmanager
def task_role() -> Iterator[str]:
    """Serve credentials of the embedded Bedrock as ECS serves those of a task role; yields the URL."""
    keys = {
        "AccessKeyId": ACCESS_KEY,
        "SecretAccessKey": SECRET_KEY,
        "Token": "t",
        "Expiration": "2999-01-01T00:00:00Z",
    }

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(keys).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/keys"
        server.shutdown()


@contextlib.contextmanager
def embedded_bedrock(checks: Checks, image: str, options: list[str]) -> Iterator[str]:
    """Run an embedded Bedrock on a free port; yields its base URL."""
    port = str(free_port())
    program = ["--entrypoint", "/bin/python3", image, "-m", "app.emulator", "--scripted", "--port", port]
    checks.call("rm", "--force", BEDROCK)
    started = checks.call("run", "--detach", "--name", BEDROCK, *options, *RESTRICTIONS, *program)
    try:
        seconds = wait_for(f"http://127.0.0.1:{port}/", time.monotonic()) if started.returncode == 0 else math.inf
        checks.report(seconds < math.inf, f"runs the embedded Bedrock{error_of(started)}")
        yield f"http://127.0.0.1:{port}"
    finally:
        checks.call("rm", "--force", BEDROCK)


def error_of(ended: subprocess.CompletedProcess[str]) -> str:
    """The end of the error output of a command that failed."""
    return f": {ended.stderr.strip()[-200:]}" if ended.returncode else ""


def wait_for(url: str, since: float) -> float:
    """Wait for any HTTP response; return the seconds since `since`, or infinity after 20 s."""
    while time.monotonic() - since < 20:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 -- a loopback address
                return time.monotonic() - since
        except urllib.error.HTTPError:
            return time.monotonic() - since
        except OSError:
            time.sleep(0.01)
    return math.inf


def post(url: str, body: object, key: str) -> str:
    """Send a POST request; return the body of the response, or the status if it is an error."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.code)


def start_of(pid: str) -> tuple[float, float]:
    """Return when a process began, in seconds since the boot, and how many seconds it has waited for a processor.

    A busy machine lengthens the second. If there is no such process, it began an eternity ago.
    """
    try:
        with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/schedstat") as schedstat:  # noqa: PTH123
            ticks = int(stat.read().rpartition(")")[2].split()[19])
            return ticks / os.sysconf("SC_CLK_TCK"), int(schedstat.read().split()[1]) / 1e9
    except OSError:
        return -math.inf, 0.0


def resident(pid: str) -> float:
    """Return the resident memory of a process in MB, or infinity if there is no such process."""
    try:
        with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
            return next(int(line.split()[1]) / 1000 for line in status if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return float("inf")


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
