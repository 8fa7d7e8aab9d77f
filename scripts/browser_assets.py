"""Copies the viewers of `/docs` and `/redoc` from npm to app/admin/browser: `python -m scripts.browser_assets`.

requirements/browser-npm/package.json pins the versions. manifest.json records the SHA-512 of each npm package, and the
SHA-256 of each file before compression. A pinned version whose package has changed ends the program. Needs npm.
"""

import base64
import gzip
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINS = ROOT / "requirements" / "browser-npm" / "package.json"
FOLDER = ROOT / "app" / "admin" / "browser"
MANIFEST = FOLDER / "manifest.json"
# by package: path in it -> name in FOLDER. Files that browsers load are compressed, licences are not.
FILES = {
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
}


def pinned_versions() -> dict[str, str]:
    """Return the pinned version of each package."""
    versions: dict[str, str] = json.loads(PINS.read_text())["dependencies"]
    return versions


def main() -> None:
    """Download the packages, copy their files, and write the manifest.

    Raises:
        SystemExit: a package of the same version has another hash than the manifest.
    """
    known = json.loads(MANIFEST.read_text())["packages"] if MANIFEST.exists() else {}
    packages: dict[str, dict[str, str]] = {}
    hashes: dict[str, str] = {}
    (FOLDER / "licenses").mkdir(parents=True, exist_ok=True)
    for name, version in sorted(pinned_versions().items()):
        with tempfile.TemporaryDirectory() as folder:
            archive = _download(name, version, Path(folder))
            digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            packages[name] = {"version": version, "integrity": f"sha512-{digest}"}
            if known.get(name, {}).get("version") == version and known[name] != packages[name]:
                raise SystemExit(f"{name} {version} is not the package of {MANIFEST}: its hash is {digest}")
            hashes |= _copy(archive, FILES[name])
    MANIFEST.write_text(json.dumps({"packages": packages, "files": hashes}, indent=2) + "\n")


def _download(name: str, version: str, folder: Path) -> Path:
    command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), f"{name}@{version}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.iterdir()
    return archive


def _copy(archive: Path, files: dict[str, str]) -> dict[str, str]:
    """Copy files of a package to FOLDER; return the SHA-256 of each, by its name there."""
    hashes = {}
    with tarfile.open(archive) as package:
        for path, name in files.items():
            member = package.extractfile(f"package/{path}")
            if member is None:
                raise SystemExit(f"{archive.name} has no file {path}")
            data = member.read()
            hashes[name] = hashlib.sha256(data).hexdigest()
            (FOLDER / name).write_bytes(gzip.compress(data, 9, mtime=0) if name.endswith(".gz") else data)
    return hashes


if __name__ == "__main__":
    main()
