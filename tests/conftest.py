"""Tests have no network unless they are marked `loopback`, and do not see the AWS settings of the environment."""

import gc
import os
import signal
import sys
from pathlib import Path

import pytest
import pytest_socket
from hypothesis import HealthCheck, settings

from tests.bedrock.http1.certificates import Authority

# the duration of an example depends on the machine more than on the code; a change is judged by the same examples each time
settings.register_profile(
    "steady", settings(), deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("steady"), derandomize=False)
settings.register_profile("brief", settings.get_profile("steady"), max_examples=25)
settings.load_profile("steady")

# a shell starts jobs in the background with it ignored, and the commands that tests start would ignore it too
signal.signal(signal.SIGINT, signal.default_int_handler)
gc.disable()  # during collection there is nothing to free

# modules, and their bounds for an answer of a database or an issuer: a busy machine takes longer than a deployment waits
BOUNDS = {
    "app.governance.identity.issuer_keys": ("_WAIT_SECONDS",),
    "app.governance.identity.key_watch": ("_READ_SECONDS",),
    "app.governance.identity.row_reader": ("_READ_SECONDS", "_WAIT_SECONDS"),
    "app.governance.identity.team_policies": ("_READ_SECONDS",),
    "app.governance.identity.verified_tokens": ("_WAIT_SECONDS",),
    "app.governance.leases.client": ("TRANSACTION_SECONDS", "_WAIT_SECONDS"),
    "app.governance.leases.transactions": ("TRANSACTION_SECONDS",),
    "app.storage.bounded": ("_WAIT_SECONDS", "_REPORT_SECONDS"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing them")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("loopback"):
        pytest_socket.socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    else:
        pytest_socket.disable_socket(allow_unix_socket=True)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """Collect once, so that pytest reports what was not awaited or closed; its own five collections then cost nothing."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") or "end_to_end" in item.path.parts:
            item.add_marker(pytest.mark.loopback)


@pytest.fixture(scope="session")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one unused authority. Reading the system's trust store takes 20 ms of CPU for each httpx client."""
    return Authority(tmp_path_factory.mktemp("trusted")).bundle


@pytest.fixture(autouse=True)
def long_bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait longer for databases and issuers, but in tests of durations."""
    if request.node.get_closest_marker("timed"):
        return
    for module, names in BOUNDS.items():
        if module in sys.modules:
            for name in names:
                monkeypatch.setattr(sys.modules[module], name, 30.0)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, trusted: Path) -> None:
    """Remove AWS settings, AWS configuration files and proxies from the environment."""
    ours = ("AWS_", "BEDROCK_", "TLS_", "API_KEYS", "AUTH_DISABLED", "MAX_BODY_BYTES")
    for name in list(os.environ):
        if name.startswith(ours) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    nowhere = tmp_path_factory.getbasetemp() / "nowhere"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
