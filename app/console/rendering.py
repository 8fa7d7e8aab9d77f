"""Renders templates, with the headers that every page of the console has."""

import hashlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from starlette.responses import Response

from app import __version__
from app.console.figures import FILTERS
from app.console.parts import PREFIX
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


class CompiledTemplates(FileSystemBytecodeCache):
    """Keeps compiled templates in a folder, as Python keeps modules: what compiling takes of memory stays in use."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), f"%s.{sys.implementation.cache_tag}.cache")

    def get_cache_key(self, name: str, filename: str | None = None) -> str:  # noqa: ARG002 -- it may be moved
        """Return the name of the file. Its content tells of which text it was made."""
        return name

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read a file, if there is one."""
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Write a file, if the folder can be written."""
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                Path(self.directory).mkdir(exist_ok=True)
                super().dump_bytecode(bucket)


class Renderer:
    """Renders the templates of the folder `templates`. compiled: the folder of compiled ones."""

    def __init__(self, assets: Mapping[str, bytes], compiled: Path = FOLDER / "__pycache__") -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            bytecode_cache=CompiledTemplates(compiled),
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

    def compile_all(self) -> None:
        """Compile the templates that are not compiled yet."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    @cached_property
    def _digest(self) -> str:
        """What changes in the URLs of assets when one of them changes."""
        digest = hashlib.sha256()
        for name in sorted(self._assets):
            digest.update(name.encode() + self._assets[name])
        return digest.hexdigest()[:16]
