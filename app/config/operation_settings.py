"""The settings of what runs beside the requests."""

import re

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from app.config.database_settings import DatabaseSettings
from app.config.webhook_secret import parse_webhook_secret

_URL = re.compile(r"https?://[^/@?#\s]+(/[^#\s]*)?")


class OperationSettings(DatabaseSettings):
    """How long the ledger is kept, and who is told of what happens."""

    ledger_retention_days: int = Field(
        400,
        ge=40,
        le=36_500,
        description="Days for which entries of the ledger are kept. Sums by hour and by day, and the audit log, are "
        "not deleted.",
    )
    users_per_hour: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="End users of a key that a process counts each within an hour, with DATABASE_URL. The others are "
        "counted together, as `(other users)`.",
    )
    metrics_teams: int = Field(
        50,
        ge=0,
        le=1000,
        description="Teams that have metrics of their own, with DATABASE_URL; the others share one. 0: none has.",
    )
    webhook_url: SecretStr | None = Field(
        None,
        description="Where webhooks are sent: budgets that reach 75, 95 and 100 %, revoked keys, trouble with the "
        "database. Needs DATABASE_URL. Any address is allowed; redirects are not followed.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        validate_default=True,
        description="The secret that signs webhooks: `whsec_` and 24 to 64 random bytes in base64. Required with "
        "WEBHOOK_URL.",
    )

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            url = value.get_secret_value()
            if not url.isascii() or not _URL.fullmatch(url):
                raise ValueError("must be an http:// or https:// URL without user, password and fragment")
            if "database_url" in info.data and info.data["database_url"] is None:
                raise ValueError("needs DATABASE_URL, where events are noted")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            parse_webhook_secret(value.get_secret_value())
        elif info.data.get("webhook_url") is not None:
            raise ValueError(
                'WEBHOOK_URL is set: set WEBHOOK_SECRET, as from `echo "whsec_$(openssl rand -base64 32)"`'
            )
        return value

    def webhook(self) -> tuple[str, bytes] | None:
        """Return where webhooks are sent and with which key they are signed, if they are."""
        if self.webhook_url is None or self.webhook_secret is None:
            return None
        return self.webhook_url.get_secret_value(), parse_webhook_secret(self.webhook_secret.get_secret_value())
