"""The settings of administrators, and the checks of their values."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from app.config.database_settings import DatabaseSettings
from app.config.entries import parse_api_keys


class AdminSettings(DatabaseSettings):
    """Who may use the admin API."""

    admin_keys: SecretStr | None = Field(
        None,
        description="The keys of administrators, for the admin API: a comma-separated list of `name=secret`. A secret "
        "has at least 16 characters, and is not a caller's key. Needs DATABASE_URL.",
    )

    @field_validator("admin_keys")
    @classmethod
    def _check_admin_keys(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            parse_api_keys(value.get_secret_value())
            if "database_url" in info.data and info.data["database_url"] is None:
                raise ValueError("there is no admin API without a database: set DATABASE_URL")
        return value

    @field_validator("api_keys", "smoke_api_key", check_fields=False)
    @classmethod
    def _check_that_no_administrator_has_it(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        administrators: SecretStr | None = info.data.get("admin_keys")
        if value is None or administrators is None:
            return value
        of_administrators = _secrets(administrators.get_secret_value())
        if of_administrators & _secrets(value.get_secret_value()):
            raise ValueError("a secret is in ADMIN_KEYS too: give callers and administrators different ones")
        return value

    def administrators(self) -> dict[str, tuple[str, ...]]:
        """Return the secrets of each administrator, by name. Empty if none are set."""
        return parse_api_keys(self.admin_keys.get_secret_value()) if self.admin_keys else {}


def _secrets(text: str) -> set[str]:
    """Return the secrets of a list, even if it is malformed: another check reports that."""
    try:
        return {secret for secrets in parse_api_keys(text).values() for secret in secrets}
    except ValueError:
        return set()
