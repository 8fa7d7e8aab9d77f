"""Reads small documents from the services that know who a caller is."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlencode

from app.bedrock.transport import Headers, HttpRequest, Transport
from app.errors import GatewayError

_AGENT = ("user-agent", "outcrop")
_FORM = ("content-type", "application/x-www-form-urlencoded")


class NotFetched(Exception):
    """The document cannot be read. The message names the reason, and quotes nothing that was received."""


async def http_get(
    transport: Transport, url: str, headers: Headers, *, max_bytes: int, seconds: float
) -> tuple[int, bytes]:
    """Send a GET request; returns the status and the body. Redirects are not followed.

    Raises:
        NotFetched: the server cannot be reached, is too slow, or sends more than `max_bytes`.
    """
    return await _fetch(transport, HttpRequest("GET", url, [*headers, _AGENT], b""), max_bytes, seconds)


async def http_post_form(
    transport: Transport, url: str, headers: Headers, fields: Mapping[str, str], *, max_bytes: int, seconds: float
) -> tuple[int, bytes]:
    """Send a form; returns as `http_get` does, and raises as it does."""
    body = urlencode(fields).encode()
    return await _fetch(transport, HttpRequest("POST", url, [*headers, _FORM, _AGENT], body), max_bytes, seconds)


async def _fetch(transport: Transport, request: HttpRequest, max_bytes: int, seconds: float) -> tuple[int, bytes]:
    try:
        async with asyncio.timeout(seconds):
            response = await transport.open(request)
            try:
                return response.status, await response.read(max_bytes)
            finally:
                response.close()
    except TimeoutError:
        raise NotFetched(f"no answer within {seconds:g} seconds") from None
    except GatewayError as error:
        raise NotFetched(error.detail or type(error).__name__) from None
    except ValueError:
        raise NotFetched("the URL is malformed") from None
