"""Copies what browsers load from npm into the repository: `python -m scripts.browser_assets`.

The viewers of `/docs` and `/redoc` go to app/admin/browser, the scripts of the console to app/console/vendor, and the
checker of its tests to tests/console/vendor. requirements/*-npm/package.json pin the versions. manifest.json of each
folder records the SHA-512 of each npm package, and the SHA-256 of each file before compression. A pinned version whose
package has changed ends the program. Needs npm.
"""

import base64
import gzip
import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Bundle:
    """The files of one folder.

    pins: the package.json with the versions. group: its member. files: by package, the path in it and the name in the
    folder. Files that browsers load are compressed, licences are not.
    """

    pins: Path
    group: str
    folder: Path
    files: Mapping[str, Mapping[str, str]]

    @property
    def manifest(self) -> Path:
        """The file with the hashes."""
        return self.folder / "manifest.json"

    def pinned_versions(self) -> dict[str, str]:
        """Return the pinned version of each package."""
        versions: dict[str, str] = json.loads(self.pins.read_text())[self.group]
        return versions


_NPM = ROOT / "requirements"
DOCUMENTS = Bundle(
    _NPM / "browser-npm" / "package.json",
    "dependencies",
    ROOT / "app" / "admin" / "browser",
    {
        "redoc": {
            "bundles/redoc.standalone.js": "redoc.standalone.js.gz",
            "LICENSE": "licenses/redoc.txt",
            "bundles/redoc.standalone.js.LICENSE.txt": "licenses/redoc.standalone.js.txt",
            "bundles/d87bcbdbea8f8f5aa26f.worker.js.LICENSE.txt": "licenses/redoc.worker.js.txt",
        },
        "swagger-ui-dist": {
            "swagger-ui-bundle.js": "swagger-ui-bundle.js.gz",
            "swagger-ui.css": "swagger-ui.css.gz",
            "LICENSE": "licenses/swagger-ui.txt",
            "NOTICE": "licenses/swagger-ui-notice.txt",
            "swagger-ui-bundle.js.LICENSE.txt": "licenses/swagger-ui-bundle.js.txt",
        },
    },
)
CONSOLE = Bundle(
    _NPM / "console-npm" / "package.json",
    "dependencies",
    ROOT / "app" / "console" / "vendor",
    {
        "htmx.org": {"dist/htmx.min.js": "htmx.min.js.gz", "LICENSE": "licenses/htmx.txt"},
        "uplot": {
            "dist/uPlot.iife.min.js": "uPlot.iife.min.js.gz",
            "dist/uPlot.min.css": "uPlot.min.css.gz",
            "LICENSE": "licenses/uplot.txt",
        },
    },
)
CHECKER = Bundle(
    _NPM / "console-npm" / "package.json",
    "devDependencies",
    ROOT / "tests" / "console" / "vendor",
    {"axe-core": {"axe.min.js": "axe.min.js.gz", "LICENSE": "licenses/axe-core.txt"}},
)
BUNDLES = (DOCUMENTS, CONSOLE, CHECKER)


def main() -> None:
    """Download the packages, copy their files, and write the manifests.

    Raises:
        SystemExit: a package of the same version has another hash than the manifest.
    """
    for bundle in BUNDLES:
        _fill(bundle)


def _fill(bundle: Bundle) -> None:
    manifest = bundle.manifest
    known = json.loads(manifest.read_text())["packages"] if manifest.exists() else {}
    packages: dict[str, dict[str, str]] = {}
    hashes: dict[str, str] = {}
    (bundle.folder / "licenses").mkdir(parents=True, exist_ok=True)
    for name, version in sorted(bundle.pinned_versions().items()):
        with tempfile.TemporaryDirectory() as folder:
            archive = _download(name, version, Path(folder))
            digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            packages[name] = {"version": version, "integrity": f"sha512-{digest}"}
            if known.get(name, {}).get("version") == version and known[name] != packages[name]:
                raise SystemExit(f"{name} {version} is not the package of {manifest}: its hash is {digest}")
            hashes |= _copy(archive, bundle.files[name], bundle.folder)
    manifest.write_text(json.dumps({"packages": packages, "files": hashes}, indent=2) + "\n")


def _download(name: str, version: str, folder: Path) -> Path:
    command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), f"{name}@{version}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.iterdir()
    return archive


def _copy(archive: Path, files: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Copy files of a package to a folder; return the SHA-256 of each, by its name there."""
    hashes = {}
    with tarfile.open(archive) as package:
        for path, name in files.items():
            member = package.extractfile(f"package/{path}")
            if member is None:
                raise SystemExit(f"{archive.name} has no file {path}")
            data = member.read()
            hashes[name] = hashlib.sha256(data).hexdigest()
            (folder / name).write_bytes(gzip.compress(data, 9, mtime=0) if name.endswith(".gz") else data)
    return hashes


if __name__ == "__main__":
    main()
