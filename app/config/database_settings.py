"""The settings of the database, and the checks of their values."""

import hmac
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from app.config.aws_settings import AwsSettings
from app.config.database_url import DatabaseUrl, parse_database_url
from app.config.pem import try_pem

_SYSTEM = "system"
_PEM = "-----BEGIN "


class DatabaseSettings(AwsSettings):
    """Where teams, keys, limits, budgets and the ledger are stored."""

    database_url: SecretStr | None = Field(
        None,
        description="The database of teams, keys, budgets and the ledger: `postgresql://USER:PASSWORD@HOST/DATABASE` "
        "(PostgreSQL 14 or later), or `sqlite:///PATH` on one machine. Unset, nothing of it is loaded.",
    )
    database_iam_auth: bool = Field(
        False,
        validate_default=True,
        description="Sign in to RDS or Aurora with tokens that are signed by the gateway's AWS credentials. "
        "DATABASE_URL then names a user and has no password.",
    )
    database_ca: str | None = Field(
        None,
        description="The certificates that verify the database: PEM, the path of a PEM file, or `system` for those of "
        "the system. With it, and with DATABASE_IAM_AUTH, connections use TLS and the host name is verified.",
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
    fail_open: bool = Field(
        False,
        description="Let calls through while the database cannot be reached and the leases of this process do not "
        "cover them. They are recorded, and may exceed limits and budgets. By default they get 503.",
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
                raise ValueError(f"{url.path.parent} is not a writable folder: create it, or give access to it")
        return value

    @field_validator("database_iam_auth")
    @classmethod
    def _check_database_iam_auth(cls, value: bool, info: ValidationInfo) -> bool:
        database = info.data.get("database_url")
        if value and "database_url" in info.data:
            parts = urlsplit(parse_database_url(database.get_secret_value()).dsn) if database else None
            if parts is None or not parts.hostname:
                raise ValueError("needs a DATABASE_URL such as postgresql://USER@HOST/DATABASE")
            if not parts.username or parts.password:
                raise ValueError("a token is the password: write DATABASE_URL with a user and without a password")
        return value

    @field_validator("database_ca")
    @classmethod
    def _check_database_ca(cls, value: str | None) -> str | None:
        if value is not None:
            try_pem(lambda: trusting(value))
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
            raise ValueError(f"{folder} is not a writable folder: create it, or give access to it")
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

    def database_tls(self) -> ssl.SSLContext | None:
        """Return what verifies the database, or None if that is up to DATABASE_URL."""
        if self.database_ca is None and not self.database_iam_auth:
            return None
        return trusting(self.database_ca or _SYSTEM)

    def pepper(self) -> bytes:
        """Return KEY_PEPPER as bytes; empty if it is not set."""
        return self.key_pepper.get_secret_value().encode() if self.key_pepper else b""

    def derived_secret(self, purpose: str) -> bytes:
        """Return a secret that follows from KEY_PEPPER, so that all replicas have it; empty if that is not set."""
        pepper = self.pepper()
        return hmac.digest(pepper, f"outcrop: {purpose}".encode(), "sha256") if pepper else b""


def trusting(certificates: str) -> ssl.SSLContext:
    """Make a context that verifies certificates and host names. `certificates`: see DATABASE_CA. Raises OSError."""
    if certificates == _SYSTEM:
        return ssl.create_default_context()
    if certificates.lstrip().startswith(_PEM):
        return ssl.create_default_context(cadata=certificates)
    return ssl.create_default_context(cafile=certificates)
