"""Serves `/docs` and `/redoc` from the files in `browser`, for browsers without internet access.

scripts/browser_assets.py writes those files. Nothing is read or loaded before a browser asks for it.
"""

import zlib
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

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


def browser_documents_router() -> APIRouter:
    """Return the pages and the files that they load. They need no key."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/docs", methods=["GET", "HEAD"])
    def docs() -> Response:
        return _page("docs.html", _POLICY)

    @router.api_route("/redoc", methods=["GET", "HEAD"])
    def redoc() -> Response:
        return _page("redoc.html", _REDOC_POLICY)

    @router.api_route("/docs/{name}", methods=["GET", "HEAD"])
    def asset(request: Request) -> Response:
        # FastAPI would load pydantic's first version, 2 MB, for a parameter of the path
        name: str = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(404)
        return _asset(name, accepts_gzip="gzip" in request.headers.get("accept-encoding", ""))

    return router


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
