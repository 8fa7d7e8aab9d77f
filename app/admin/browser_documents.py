"""Serves `/docs` and `/redoc` from the files in `browser`, for browsers without internet access.

scripts/browser_assets.py writes those files. Nothing is read or loaded before a browser asks for it.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.admin.direct_route import DirectRoute

_FOLDER = Path(__file__).parent / "browser"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_ASSETS = frozenset(
    {
        "redoc.css",
        "redoc.standalone.js",
        "start-redoc.js",
        "start-swagger-ui.js",
        "swagger-ui-bundle.js",
        "swagger-ui.css",
    }
)
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; style-src 'self'"
)
# Redoc adds empty <style> elements, whose rules it sets by script, and searches in a worker that it makes from a blob
_REDOC_POLICY = f"{_POLICY} 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; worker-src blob:"
_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
_GZIP = 16 + zlib.MAX_WBITS


def browser_document_routes() -> Sequence[DirectRoute]:
    """Return the pages and the files that they load. They need no key."""

    def docs(_: Request) -> Response:
        return _page("docs.html", _POLICY)

    def redoc(_: Request) -> Response:
        return _page("redoc.html", _REDOC_POLICY)

    def asset(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(404)
        return _asset(name, accepts_gzip="gzip" in request.headers.get("accept-encoding", ""))

    return [DirectRoute("/docs", docs), DirectRoute("/redoc", redoc), DirectRoute("/docs/{name}", asset)]


def _page(name: str, policy: str) -> Response:
    headers = {**_HEADERS, "content-security-policy": policy, "cache-control": "no-cache"}
    return Response((_FOLDER / name).read_bytes(), headers=headers, media_type="text/html")


def _asset(name: str, *, accepts_gzip: bool) -> Response:
    """Return a file. Large files are stored compressed."""
    # a new version of the gateway may have new files of the same names
    headers = {**_HEADERS, "cache-control": "max-age=3600", "vary": "accept-encoding"}
    compressed = _FOLDER / f"{name}.gz"
    if not compressed.exists():
        data = (_FOLDER / name).read_bytes()
    elif accepts_gzip:
        data = compressed.read_bytes()
        headers["content-encoding"] = "gzip"
    else:
        data = zlib.decompress(compressed.read_bytes(), _GZIP)
    return Response(data, headers=headers, media_type=_TYPES[Path(name).suffix])
