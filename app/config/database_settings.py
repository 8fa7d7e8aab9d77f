"""The settings of the database, and the checks of their values."""

import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from app.config.aws_settings import AwsSettings
from app.config.database_url import DatabaseUrl, parse_database_url


class DatabaseSettings(AwsSettings):
    """Where teams, keys, limits, budgets and the ledger are stored."""

    database_url: SecretStr | None = Field(
        None,
        description="The database of teams, keys, budgets and the ledger: `postgresql://USER:PASSWORD@HOST/DATABASE` "
        "(PostgreSQL 14 or later), or `sqlite:///PATH` on one machine. Unset, nothing of it is loaded.",
    )
    data_dir: Path | None = Field(
        None,
        validate_default=True,
        description="A folder for the journals of calls that are not in the database yet. It must survive a restart. "
        "Required with PostgreSQL; the folder of the file with SQLite.",
    )
    key_pepper: SecretStr | None = Field(
        None,
        validate_default=True,
        min_length=32,
        description="The secret with which hashes of keys are made, the same on every replica. Required with "
        "DATABASE_URL. A new one makes all keys in the database invalid.",
    )
    migrate_at_start: bool = Field(
        False, description="Bring an older schema of the database up to date at the start, instead of ending the start."
    )

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            url = parse_database_url(value.get_secret_value())
            if url.path is not None and not os.access(url.path.parent, os.W_OK):
                raise ValueError(f"{url.path.parent} is not a writable folder")
        return value

    @field_validator("data_dir")
    @classmethod
    def _check_data_dir(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        database = info.data.get("database_url")
        if database is None:
            return value
        path = parse_database_url(database.get_secret_value()).path
        folder = value or (path.parent if path is not None else None)
        if folder is None:
            raise ValueError("DATABASE_URL is set: set DATA_DIR to a writable folder that survives a restart")
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise ValueError(f"{folder} is not a writable folder")
        return folder

    @field_validator("key_pepper")
    @classmethod
    def _check_key_pepper(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("database_url") is not None:
            raise ValueError("DATABASE_URL is set: set KEY_PEPPER to a random secret of 32 characters or more")
        return value

    def database(self) -> DatabaseUrl | None:
        """Return the parsed DATABASE_URL, if it is set."""
        return parse_database_url(self.database_url.get_secret_value()) if self.database_url else None

    def pepper(self) -> bytes:
        """Return KEY_PEPPER as bytes; empty if it is not set."""
        return self.key_pepper.get_secret_value().encode() if self.key_pepper else b""
