"""Serves the files that pages load. Their URLs change when one of them changes, so browsers keep them."""

import gzip
from collections.abc import Mapping
from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from app.console.rendering import FOLDER

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "content-security-policy": "default-src 'none'; style-src 'self'",
    "cross-origin-resource-policy": "same-origin",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}


@cache
def read_assets() -> Mapping[str, bytes]:
    """Return the files by name, compressed."""
    assets = {}
    for path in sorted([*(FOLDER / "assets").iterdir(), *(FOLDER / "vendor").iterdir()]):
        if path.suffix == ".gz":
            assets[path.stem] = path.read_bytes()
        elif path.suffix in _TYPES:
            assets[path.name] = gzip.compress(path.read_bytes(), 9, mtime=0)
    return assets


async def serve_asset(request: Request) -> Response:
    """Return a file. Nobody needs to be signed in for it."""
    name = request.path_params["name"]
    data = read_assets().get(name)
    if data is None:
        return Response(status_code=404)
    headers = {**_HEADERS, "content-encoding": "gzip"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        data = gzip.decompress(data)
        del headers["content-encoding"]
    return Response(data, headers=headers, media_type=_TYPES["." + name.rpartition(".")[2]])
