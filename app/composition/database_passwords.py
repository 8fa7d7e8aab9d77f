"""Makes passwords of the database from the gateway's AWS credentials, for DATABASE_IAM_AUTH."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from app.bedrock.credentials import Credentials, CredentialsProvider, make_resolver
from app.config.settings import Settings
from app.errors import CredentialsMissing
from app.storage.database import DatabaseDown
from app.storage.iam_token import IamUser

_PORT = 5432


class IamPasswords:
    """Signs a token for each new connection. The credentials are renewed in the background."""

    def __init__(self, user: IamUser, provider: CredentialsProvider) -> None:
        self._user = user
        self._provider = provider

    async def __call__(self) -> str:
        """Return a token that is valid now. Raises DatabaseDown: there are no AWS credentials."""
        self._provider.start()
        try:
            identity = await self._provider.get()
        except CredentialsMissing as error:
            raise DatabaseDown(f"{self._user.host} needs a token: {error.detail}") from None
        if not isinstance(identity, Credentials):
            raise DatabaseDown(f"{self._user.host} needs a token, and a Bedrock API key signs none")
        return self._user.token(identity.access_key, identity.secret_key, identity.token)

    async def close(self) -> None:
        """Stop renewing the credentials."""
        await self._provider.close()


def make_iam_passwords(settings: Settings, dsn: str) -> IamPasswords:
    """Make the passwords of the user in `dsn`. A Bedrock API key signs nothing, so it is not used."""
    parts = urlsplit(dsn)
    host = parts.hostname or ""
    user = IamUser(host, parts.port or _PORT, unquote(parts.username or ""), _region_of(host) or settings.aws_region)
    signing = settings.model_copy(update={"aws_bearer_token_bedrock": None})  # nosec B105
    return IamPasswords(user, CredentialsProvider(make_resolver(signing)))


def _region_of(host: str) -> str:
    """Return the region in a name such as `db.cluster-x.us-east-1.rds.amazonaws.com`, or an empty string."""
    before, separator, _ = host.partition(".rds.amazonaws.com")
    return before.rpartition(".")[2] if separator else ""
