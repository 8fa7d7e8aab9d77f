"""Reads the settings from the environment and an optional `.env`, and reports all errors at once."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from dotenv import load_dotenv
from pydantic import SecretStr, ValidationError

from app.config.entries import parse_api_keys
from app.config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_USERINFO = re.compile(r"//[^/@]*@")
# their values are shown nowhere
_SECRET_FIELDS = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
)
# names of bedrock-access-gateway
PREDECESSORS = {
    "API_KEYS": "API_KEY",
    "BEDROCK_MODEL_ID": "DEFAULT_MODEL",
    "EMBEDDING_MODEL_ID": "DEFAULT_EMBEDDING_MODEL",
}


def load_settings(env_file: str | Path = ".env") -> Settings:
    """Read the settings.

    Variables of `env_file` are added to the environment, for botocore too; those that are set already stay. A variable
    that is unset is read under its name in bedrock-access-gateway.

    Raises:
        SettingsError: with all errors.
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
        raise SettingsError([line for fault in error.errors() for line in _describe(fault)]) from None


def _only_key(key: str) -> str:
    """Return API_KEY, which holds one key, as an entry of API_KEYS.

    Raises:
        SettingsError: an entry cannot hold it.
    """
    key = key.strip()
    if "," in key:
        raise SettingsError(["API_KEY (value not shown): must be one key, without a comma"])
    try:
        is_entry = [*parse_api_keys(key).values()] == [(key,)]
    except ValueError:
        is_entry = False
    return key if is_entry else f"api-key={key}"


@contextmanager
def faults_end_the_start() -> Iterator[None]:
    """Print the faults of a SettingsError that is raised inside, and end the process with code 2."""
    try:
        yield
    except SettingsError as error:
        lines = "".join(f"  - {fault}\n" for fault in error.faults)
        advice = "`outcrop --help` lists the settings, and docs/configuration.md explains them."
        sys.stderr.write(f"Outcrop cannot start: its settings are invalid.\n{lines}{advice}\n")
        raise SystemExit(2) from None


def _describe(fault: "ErrorDetails") -> list[str]:
    """Return a line for a fault; for a configuration file, one for each fault of it."""
    field = str(fault["loc"][0])
    variable = field.upper()
    reason = fault["msg"].removeprefix("Value error, ")
    if reason.partition(" ")[0].lower() in Settings.model_fields:
        return [reason]  # it names the variables that it is about
    if fault["type"] == "missing":
        return [f"{variable} is not set: {Settings.model_fields[field].description}"]
    if field in _SECRET_FIELDS:
        return [f"{variable} (value not shown): {reason}"]
    if variable not in os.environ:
        return [f"{variable} (not set): {reason}"]
    if field == "config_toml":
        return [f"{variable}: {line}" for line in reason.splitlines()]
    value = _USERINFO.sub("//***@", str(fault["input"]))
    return [f"{variable}={value!r}: {line}" for line in reason.splitlines()]
