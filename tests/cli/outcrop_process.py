"""Runs the command line as a process, with a database on SQLite."""

import os
import subprocess
import sys
from pathlib import Path

PEPPER = "pepper-of-thirty-two-characters-"


def outcrop(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command. folder: of the database."""
    given = {
        "PATH": os.environ["PATH"],
        "AWS_REGION": "us-east-1",
        "BEDROCK_MODEL_ID": "m",
        "API_KEYS": "team=s3cret-of-team-0001",
        "KEY_PEPPER": PEPPER,
        "DATABASE_URL": f"sqlite:///{folder}/outcrop.db",
        "PORT": "0",
        **environment,
    }
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=50, check=False)
