"""Writes an export to standard output, a file, or an object in S3."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO
from urllib.parse import urlsplit

import click

_S3_SECONDS = 60
_MAX_OBJECT_BYTES = 5 * 1024**3


@contextmanager
def open_output(target: str, name: str) -> Iterator[TextIO]:
    """Open where an export is written. It is complete at the end, or not there.

    Args:
        target: `-`, a path, or `s3://BUCKET/KEY`; compressed if it ends in `.gz`. name: of the file in a folder, or
            below a prefix, that ends in `/`.

    Raises:
        click.ClickException: it cannot be written.
    """
    if target == "-":
        yield sys.stdout
        return
    target = f"{target}{name}" if target.endswith("/") else target
    try:
        if target.startswith("s3://"):
            with tempfile.TemporaryFile() as file:
                yield from _written(file, target)
                _upload(file, target)
        else:
            path = Path(target)
            with _replacing(path) as file:
                yield from _written(file, target)
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror or error}") from None


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that becomes `path` at the end."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _written(file: IO[bytes], target: str) -> Iterator[TextIO]:
    raw: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=file, mode="wb") if target.endswith(".gz") else file
    text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
    yield text
    text.flush()
    text.detach()
    if raw is not file:
        raw.close()


def _upload(file: IO[bytes], target: str) -> None:
    """Upload a file to S3, with the credentials and the region of the environment."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import Session

    parts = urlsplit(target)
    if not parts.netloc or not parts.path.strip("/"):
        raise click.ClickException(f"{target} names no object: write s3://BUCKET/KEY, or s3://BUCKET/PREFIX/")
    if file.tell() > _MAX_OBJECT_BYTES:
        raise click.ClickException("the export exceeds 5 GiB, the limit of S3: export fewer days, or add .gz")
    file.seek(0)
    config = Config(connect_timeout=10, read_timeout=_S3_SECONDS, retries={"mode": "standard"})
    try:
        client = Session().create_client("s3", region_name=os.environ.get("AWS_REGION"), config=config)
        client.put_object(Bucket=parts.netloc, Key=parts.path.removeprefix("/"), Body=file)
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(f"{target} cannot be written: {error}") from None
