"""Parses DATABASE_URL, without loading a database driver."""

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

_POSTGRESQL = "postgresql"
_SQLITE = "sqlite"


class DatabaseUrl(Struct, frozen=True):
    """Where the database is. Its representation holds no password.

    dsn: the URL of a PostgreSQL, as its drivers take it; empty for SQLite. path: the file of an SQLite database.
    shown: the URL without user, password and query.
    """

    dsn: str
    path: Path | None
    shown: str

    @property
    def is_sqlite(self) -> bool:
        """True for a file of this machine, False for a PostgreSQL."""
        return self.path is not None

    def __repr__(self) -> str:
        return f"DatabaseUrl({self.shown!r})"


def parse_database_url(text: str) -> DatabaseUrl:
    """Parse `postgresql://USER:PASSWORD@HOST/DATABASE` or `sqlite:///PATH`.

    Raises:
        ValueError: the URL is invalid. The message holds no part of it but the scheme and the path of a file.
    """
    scheme, separator, rest = text.partition("://")
    if scheme == _SQLITE and separator:
        return _sqlite(rest)
    if scheme in ("postgres", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2"):
        raise ValueError("write the scheme as postgresql://")
    if scheme != _POSTGRESQL or not separator:
        raise ValueError("must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:///PATH")
    return _postgresql(text)


def _sqlite(rest: str) -> DatabaseUrl:
    path = Path(unquote(rest.removeprefix("/")))
    if not rest.startswith("/") or path == Path() or rest.startswith("/:"):
        raise ValueError(
            "SQLite needs a file that all processes share: sqlite:///PATH, or sqlite:////PATH from the root"
        )
    if "?" in rest:
        raise ValueError("sqlite:/// takes no options after the path")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it")
    return DatabaseUrl("", path, f"sqlite:///{path}")


def _postgresql(text: str) -> DatabaseUrl:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        # urllib quotes the invalid part, which may be a piece of a password
        raise ValueError("is not a valid URL: percent-encode special characters in the user and the password") from None
    if port == 0:
        raise ValueError("names port 0, which no server has")
    name = parts.path.strip("/")
    if not name:
        raise ValueError("names no database: add /DATABASE after the host")
    if not parts.hostname and "host=" not in parts.query:
        raise ValueError("names no host: write it after the @, or as ?host=/FOLDER for a Unix socket")
    return DatabaseUrl(text, None, f"postgresql://{_host(parts)}/{name}")


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
