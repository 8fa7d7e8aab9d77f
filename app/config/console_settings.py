"""The settings of the console."""

from pydantic import Field, SecretStr, field_validator

from app.config.database_settings import DatabaseSettings
from app.config.entries import parse_api_keys


class ConsoleSettings(DatabaseSettings):
    """Whether the gateway serves its web console, and the secrets of its clients."""

    console: bool = Field(
        True, description="Serve the web console at `/console`. It is loaded when a browser first asks for it."
    )
    console_client_secrets: SecretStr | None = Field(
        None,
        description="The secrets of the clients in `[identity.oidc.console]`, where issuers ask for them: a "
        "comma-separated list of `name=secret`, with the names of the issuers.",
    )

    @field_validator("console_client_secrets")
    @classmethod
    def _check_client_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_api_keys(value.get_secret_value())
        return value

    def client_secrets(self) -> dict[str, str]:
        """Return the secret of each issuer's client, by the name of the issuer."""
        text = self.console_client_secrets
        return (
            {} if text is None else {name: found[-1] for name, found in parse_api_keys(text.get_secret_value()).items()}
        )
