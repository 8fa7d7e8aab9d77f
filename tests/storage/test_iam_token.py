"""Tokens of IAM authentication equal botocore's, and passwords and certificates reach a real PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import botocore.auth
import botocore.session
import pytest
from sqlalchemy import text

from app.bedrock.credentials import BearerToken, Credentials, CredentialsProvider, Resolved
from app.composition.database_passwords import IamPasswords, make_iam_passwords
from app.config.database_settings import trusting
from app.config.database_url import parse_database_url
from app.config.environment import load_settings
from app.storage.database import Database, DatabaseDown
from app.storage.iam_token import IamUser
from tests.bedrock.http1.certificates import Authority
from tests.databases import PostgresServer, running_postgres

MOMENT = datetime(2026, 12, 1, 7, 30, tzinfo=UTC)
USER = IamUser("db.cluster-1.eu-central-1.rds.amazonaws.com", 5432, "outcrop_staging", "eu-central-1")
KEYS = ("AKIAEXAMPLE", "a/secret+of=forty", "a+session/token==")


@pytest.mark.parametrize("session_token", [KEYS[2], None], ids=["role", "user"])
@pytest.mark.parametrize("name", ["outcrop_staging", "a user/with+signs"])
def test_a_token_equals_botocore_s(monkeypatch: pytest.MonkeyPatch, session_token: str | None, name: str) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: MOMENT.replace(tzinfo=None))
    session = botocore.session.Session()
    session.set_credentials(*KEYS[:2], session_token)
    client = session.create_client("rds", region_name=USER.region)
    expected = client.generate_db_auth_token(USER.host, USER.port, name, USER.region)
    user = IamUser(USER.host, USER.port, name, USER.region)
    assert user.token(*KEYS[:2], session_token, MOMENT.timestamp()) == expected


class Fixed:
    """Passwords that are one password."""

    def __init__(self, password: str) -> None:
        self._password = password
        self.is_closed = False

    async def __call__(self) -> str:
        return self._password

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        server.ask_for_passwords()
        yield server


@pytest.mark.loopback
async def test_each_connection_is_verified_and_gets_the_password_of_its_time(
    server: PostgresServer, tmp_path: Path
) -> None:
    token = USER.token(*KEYS)
    connection = await asyncpg.connect(server.url())
    await connection.execute(f"create role outcrop_staging login password '{token}'")
    await connection.close()
    authority = Authority(tmp_path)
    trusted = trusting(str(authority.bundle))
    async with server.over_tls("127.0.0.1", authority.context("127.0.0.1")) as port:
        url, named = (
            parse_database_url(f"postgresql://outcrop_staging@{host}:{port}/postgres")
            for host in ("127.0.0.1", "localhost")
        )
        passwords = Fixed(token)
        database = Database(url, tls=trusted, passwords=passwords)
        async with database.begin() as opened:
            assert (await opened.execute(text("select current_user"))).scalar_one() == "outcrop_staging"
        async with database.listening("c", lambda _: None) as lost:
            assert not lost.is_set()
        await database.close()
        assert passwords.is_closed
        await assert_refused(Database(url, tls=trusted, passwords=Fixed("x")), "password authentication failed")
        await assert_refused(Database(url, tls=trusting("system"), passwords=Fixed(token)), "over TLS: unable to get")
        await assert_refused(Database(named, tls=trusted, passwords=Fixed(token)), "over TLS: Hostname mismatch")


async def assert_refused(database: Database, reason: str) -> None:
    with pytest.raises(DatabaseDown, match=reason):
        async with database.begin():
            pass
    await database.close()


async def test_a_token_is_signed_for_each_connection_with_the_present_credentials() -> None:
    identities = [Credentials("FIRST", "s"), Credentials("SECOND", "s", "token")]

    async def resolve() -> Resolved:
        return Resolved(identities[0])

    provider = CredentialsProvider(resolve)
    passwords = IamPasswords(USER, provider)
    assert parse_qs(urlsplit("//" + await passwords()).query)["X-Amz-Credential"][0].startswith("FIRST/")
    await provider.renew(identities.pop(0))
    members = parse_qs(urlsplit("//" + await passwords()).query)
    assert members["X-Amz-Security-Token"] == ["token"]
    assert members["DBUser"] == ["outcrop_staging"]
    await passwords.close()


@pytest.mark.parametrize("identity", [None, BearerToken("a-bedrock-api-key")], ids=["none", "bearer"])
async def test_without_credentials_the_database_is_down(identity: BearerToken | None) -> None:
    async def resolve() -> Resolved | None:
        return Resolved(identity) if identity else None

    passwords = IamPasswords(USER, CredentialsProvider(resolve))
    with pytest.raises(DatabaseDown, match="needs a token"):
        await passwords()
    await passwords.close()


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("db.cluster-1.eu-central-1.rds.amazonaws.com", "eu-central-1"),
        ("db.1.cn-north-1.rds.amazonaws.com.cn", "cn-north-1"),
        ("10.0.0.1", "us-east-1"),
    ],
)
async def test_the_region_is_the_database_s_and_a_bedrock_api_key_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, region: str
) -> None:
    for name, value in {
        "API_KEYS": "team=s3cret-of-team-0001",
        "AWS_REGION": "us-east-1",
        "AWS_BEARER_TOKEN_BEDROCK": "a-bedrock-api-key",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "BEDROCK_MODEL_ID": "amazon.nova-lite-v1:0",
    }.items():
        monkeypatch.setenv(name, value)
    passwords = make_iam_passwords(load_settings(tmp_path / ".env"), f"postgresql://u%40x@{host}:6432/d")
    token = await passwords()
    await passwords.close()
    members = parse_qs(urlsplit("//" + token).query)
    assert token.startswith(f"{host}:6432/?")
    assert members["DBUser"] == ["u@x"]
    assert members["X-Amz-Credential"][0].split("/")[2] == region
