"""Renders templates, with the headers that every page of the console has."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from app import __version__
from app.console.entry import PREFIX
from app.console.figures import FILTERS
from app.console.terms import TERMS

FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURE_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # with `no-referrer`, browsers send forms without their origin
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def path_of(title: str) -> str:
    """Return the path of the page with a title."""
    return PREFIX if title == "Overview" else f"{PREFIX}/{title.lower()}"


class Renderer:
    """Renders the templates of the folder `templates`."""

    def __init__(self, assets: Mapping[str, bytes]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(
            asset=lambda name: f"{PREFIX}/assets/{self._digest}/{name}",
            path_of=path_of,
            prefix=PREFIX,
            terms=TERMS,
            version=__version__,
        )
        self._assets = assets

    def response(self, template: str, status: int, values: Mapping[str, Any]) -> Response:
        """Return a page. It is never cached: it may hold what only this session may see."""
        text = self._environment.get_template(template).render(values)
        return Response(text, status, {**SECURE_HEADERS, "cache-control": "no-store"}, "text/html")

    @cached_property
    def _digest(self) -> str:
        """What changes in the URLs of assets when one of them changes."""
        digest = hashlib.sha256()
        for name in sorted(self._assets):
            digest.update(name.encode() + self._assets[name])
        return digest.hexdigest()[:16]
