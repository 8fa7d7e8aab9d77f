"""The command line: its options, its help, its exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import __version__
from app.cli import serve
from app.cli.program import program
from app.config.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that the server found: empty until it was called."""
    found: dict[str, str] = {}

    def note() -> int:
        found.update(os.environ)
        return 0

    monkeypatch.setattr(serve, "serve", note)
    for name in ("HOST", "PORT", "CONFIG_FILE", "CONFIG_TOML"):
        monkeypatch.setenv(name, f"{name} of the environment")
    return found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        ("serve", {}),
        ("--port 8001", {"PORT": "8001"}),
        ("serve --host :: --port 0", {"HOST": "::", "PORT": "0"}),
        ("--port 1 serve --port 2", {"PORT": "2"}),
        ("--config x.toml", {"CONFIG_FILE": "x.toml", "CONFIG_TOML": ""}),
    ],
)
def test_options_of_the_server_replace_variables(
    served: dict[str, str], arguments: str, expected: dict[str, str]
) -> None:
    ended = CliRunner().invoke(program, arguments)
    assert ended.exit_code == 0, ended.output
    of_environment = {name: f"{name} of the environment" for name in ("HOST", "PORT", "CONFIG_FILE", "CONFIG_TOML")}
    assert {name: served[name] for name in of_environment} == of_environment | expected


def test_help_names_each_setting_with_its_default() -> None:
    ended = CliRunner().invoke(program, ["--help"], terminal_width=200)
    assert ended.exit_code == 0
    text = " ".join(ended.output.split())
    missing = [
        name
        for name, field in Settings.model_fields.items()
        if f" {name.upper()} {' '.join(str(field.description).split())}" not in text
    ]
    assert missing == []
    assert "Port to listen on. 0 takes a free one. [default: 8000]" in text
    assert "[default: false]" in text
    for words in ("serve", "check", "probe", "version", "--host", "--port", "--config", "1 a fault was found"):
        assert words in text


@pytest.mark.parametrize("arguments", ["--version", "version"])
def test_the_version_is_printed(arguments: str) -> None:
    ended = CliRunner().invoke(program, arguments)
    assert ended.exit_code == 0
    assert ended.output.startswith(f"outcrop {__version__}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("sreve", "Did you mean 'serve'?"),
        ("--port 99999", "'--port': 99999"),
        ("--prot 1", "--port"),
        ("check --no-such", "--no-such"),
    ],
)
def test_wrong_arguments_end_with_2(arguments: str, words: str) -> None:
    ended = CliRunner().invoke(program, arguments)
    assert ended.exit_code == 2
    assert words in ended.output


def test_the_command_line_alone_loads_neither_the_server_nor_the_checks() -> None:
    code = (
        "import sys, app.cli.program; print([n for n in sys.modules if n.startswith(('app.', 'pydantic', 'uvicorn'))])"
    )
    listed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert listed.strip() == "['app.cli', 'app.cli.options', 'app.process', 'app.process.garbage', 'app.cli.program']"


def test_the_command_works_from_another_folder_that_has_an_app_of_its_own(tmp_path: Path) -> None:
    launcher = tmp_path / "a folder" / "outcrop"
    launcher.parent.mkdir()
    script = f"source scripts/environment.sh; write_launcher '{launcher}' '{sys.executable}'"
    subprocess.run(["bash", "-c", script], cwd=ROOT, check=True)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('the wrong app')")
    ended = subprocess.run([launcher, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"outcrop {__version__}\n", "")
