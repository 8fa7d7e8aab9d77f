"""`outcrop token`: what callers without a key send as their key."""

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli.program import program
from tests.governance.test_iam import ACCESS_KEY, GATEWAY, REGION, SECRET, Sts, verifier

PAGE = Path(__file__).parents[2] / "docs" / "identity.md"
ARGUMENTS = ["token", "iam", "--gateway", GATEWAY]


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a/session+token==")


@pytest.mark.usefixtures("credentials")
async def test_the_gateway_accepts_what_the_command_prints() -> None:
    ended = CliRunner().invoke(program, [*ARGUMENTS, "--region", REGION])
    assert (ended.exit_code, ended.stderr) == (0, "")
    (token,) = ended.stdout.splitlines()
    assert SECRET not in token
    assert (await verifier(Sts()).verify(token)).identity.team == "research"


@pytest.mark.usefixtures("credentials")
async def test_the_gateway_accepts_what_the_program_of_the_page_makes() -> None:
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE.read_text())
    names: dict[str, Any] = {}
    exec(code, names)
    assert (await verifier(Sts()).verify(names["token"](GATEWAY, REGION))).identity.team == "research"


@pytest.mark.usefixtures("credentials")
def test_the_region_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(program, ARGUMENTS).exit_code == 2
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert CliRunner().invoke(program, ARGUMENTS).exit_code == 0


def test_without_credentials_there_is_no_token() -> None:
    ended = CliRunner().invoke(program, [*ARGUMENTS, "--region", REGION])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "no AWS credentials found" in ended.stderr
