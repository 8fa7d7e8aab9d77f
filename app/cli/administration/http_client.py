"""Calls the admin API of a gateway over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import click

from app.cli.administration.client import Document
from app.wire import json

_SECONDS = 30
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key would be sent to another server."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


class HttpClient:
    """Calls `/admin/v1` of a gateway. See `AdminClient`.

    Args:
        url: of the gateway, without a path. key: of an administrator.
    """

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise click.BadParameter("must be an http:// or https:// URL of a gateway", param_hint="--url")
        if not key.isascii() or not key.isprintable():
            raise click.ClickException("the administrator's key must be printable ASCII")
        self._base = url.rstrip("/")
        self._key = key
        # no proxy for loopback
        proxies = [urllib.request.ProxyHandler({})] if parts.hostname in _LOOPBACK else []
        self._opener = urllib.request.build_opener(_NoRedirects, *proxies)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        revision: int | None = None,
    ) -> Document:
        """Send a request. See `AdminClient.call`."""
        url = f"{self._base}/admin/v1/{quote(path)}{f'?{urlencode(query)}' if query else ''}"
        headers = {"authorization": f"Bearer {self._key}", "accept": "application/json", "user-agent": "outcrop"}
        data = None
        if body is not None:
            data, headers["content-type"] = json.dumps(body), "application/json"
        if revision is not None:
            headers["if-match"] = f'"{revision}"'
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 -- the scheme is checked
        try:
            with self._opener.open(request, timeout=_SECONDS) as response:
                return _document(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise click.ClickException(_refusal(error.code, error.read())) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise click.ClickException(f"{self._base} cannot be reached: {reason}") from None


def _document(body: bytes) -> Document:
    if not body:
        return {}
    try:
        document = json.loads(body)
    except json.JsonError:
        document = None
    if not isinstance(document, dict):
        raise click.ClickException("the answer is not a JSON object: does the URL lead to a gateway?")
    return document


def _refusal(status: int, body: bytes) -> str:
    """Return the message of an error, with its faults."""
    try:
        error = json.loads(body)["error"]
        faults = [f"{each['param']}: {each['message']}" for each in error.get("faults") or ()]
        return "\n".join(faults) if faults else str(error["message"])
    except (json.JsonError, LookupError, TypeError):
        hint = ": it has no admin API there, or no DATABASE_URL" if status == 404 else ""
        return f"the gateway answered with status {status}{hint}"
