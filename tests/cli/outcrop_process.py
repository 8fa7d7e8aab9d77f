"""Runs the command line with a database on SQLite, in a process or in this one."""

import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner, Result

from app.cli.program import program

PEPPER = "pepper-of-thirty-two-characters-"


def settings_of(folder: Path) -> dict[str, str]:
    """Return the settings. folder: of the database."""
    return {
        "AWS_REGION": "us-east-1",
        "BEDROCK_MODEL_ID": "m",
        "API_KEYS": "team=s3cret-of-team-0001",
        "KEY_PEPPER": PEPPER,
        "DATABASE_URL": f"sqlite:///{folder}/outcrop.db",
        "PORT": "0",
    }


def outcrop(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process."""
    given = {"PATH": os.environ["PATH"], **settings_of(folder), **environment}
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=50, check=False)


def invoke(folder: Path, *arguments: str, **environment: str) -> Result:
    """Run a command in this process."""
    with chdir(folder):
        return CliRunner().invoke(program, arguments, env={**settings_of(folder), **environment})
