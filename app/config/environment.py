"""Settings as the environment, and an optional `.env`, give them: refused early, and all at once."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dotenv import load_dotenv
from pydantic import ValidationError

from app.config.entries import parse_api_keys
from app.config.settings import Settings, SettingsError

_USERINFO = re.compile(r"//[^/@]*@")
_SECRET_FIELDS = frozenset({"api_keys", "smoke_api_key", "seal_secret", "metrics_key", "aws_bearer_token_bedrock"})
# what bedrock-access-gateway called it
PREDECESSORS = {
    "API_KEYS": "API_KEY",
    "BEDROCK_MODEL_ID": "DEFAULT_MODEL",
    "EMBEDDING_MODEL_ID": "DEFAULT_EMBEDDING_MODEL",
}


def load_settings(env_file: str | Path = ".env") -> Settings:
    """Read the environment; what `env_file` holds is added to it where it is unset, for botocore too.

    Where a variable of ours is unset, the one that bedrock-access-gateway had for it counts.

    Raises:
        SettingsError: with every fault at once.
    """
    try:
        load_dotenv(env_file, override=False)
    except (OSError, UnicodeError) as error:
        raise SettingsError([f"{env_file} cannot be read: {error}"]) from None
    for ours, theirs in PREDECESSORS.items():
        if not os.environ.get(ours) and os.environ.get(theirs):
            os.environ[ours] = _only_key(os.environ[theirs]) if ours == "API_KEYS" else os.environ[theirs]
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError([_describe(fault) for fault in error.errors()]) from None


def _only_key(key: str) -> str:
    """API_KEY, which is one key whatever is in it, as an entry of API_KEYS.

    Raises:
        SettingsError: no entry can hold it.
    """
    key = key.strip()
    if "," in key:
        raise SettingsError(["API_KEY (value not shown): must be without a comma, which parts the entries of API_KEYS"])
    try:
        is_understood = [*parse_api_keys(key).values()] == [(key,)]
    except ValueError:
        is_understood = False
    return key if is_understood else f"api-key={key}"


@contextmanager
def faults_end_the_start() -> Iterator[None]:
    """Where settings are found wrong inside, every fault is printed and the process ends with code 2."""
    try:
        yield
    except SettingsError as error:
        lines = "".join(f"  - {fault}\n" for fault in error.faults)
        sys.stderr.write(f"Outcrop cannot start: its environment is wrong.\n{lines}See DEPLOYMENT.md.\n")
        raise SystemExit(2) from None


def _describe(fault: Any) -> str:
    field = str(fault["loc"][0])
    variable = field.upper()
    reason = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{variable} is not set: {Settings.model_fields[field].description}"
    if field in _SECRET_FIELDS:
        return f"{variable} (value not shown): {reason}"
    if variable not in os.environ:
        return f"{variable} (not set): {reason}"
    value = _USERINFO.sub("//***@", str(fault["input"]))
    return f"{variable}={value!r}: {reason}"
