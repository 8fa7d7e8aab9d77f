"""Prints the size of an image by layer and by library, raw and compressed, and fails if it exceeds the budget.

    measure.py ARCHIVE [--raw MB] [--gzip MB] [--no-libraries]

ARCHIVE is written by `docker save` or `buildah push IMAGE docker-archive:ARCHIVE`. Compressed means gzip level 6, as
in registries.
"""

import argparse
import gzip
import io
import json
import re
import tarfile
import zlib

MEGABYTE = 1_000_000
# smaller libraries are added up
LISTED_BYTES = 400_000
# packages of one library, by the name under which it is listed
SAME_LIBRARY = {"_cffi_backend": "cffi", "pydantic_core": "pydantic", "google": "protobuf", "grpc": "grpcio"}
LIBRARY = re.compile(r"srv/site/([A-Za-z0-9_]+)")


def main() -> int:
    """Run the command line; return 1 if the image exceeds the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive")
    parser.add_argument("--raw", type=float, default=125.0, help="budget in MB, uncompressed")
    parser.add_argument("--gzip", type=float, default=42.0, help="budget in MB, compressed")
    parser.add_argument("--no-libraries", action="store_true", help="print the layers only, in half of the time")
    options = parser.parse_args()
    with tarfile.open(options.archive) as archive:
        (manifest,) = json.load(extract(archive, "manifest.json"))
        layers = [uncompressed(extract(archive, layer).read()) for layer in manifest["Layers"]]
    libraries = [] if options.no_libraries else by_library(layers)
    for name, raw, compressed in sorted(libraries, key=lambda each: -each[1]):
        print(f"  {name:<24} {raw / MEGABYTE:5.1f} MB raw  {compressed / MEGABYTE:6.1f} MB gzip")
    sizes = [(len(layer), len(zlib.compress(layer, 6))) for layer in layers]
    for number, (raw, compressed) in enumerate(sizes, start=1):
        print(f"  layer {number}  {raw / MEGABYTE:7.1f} MB raw  {compressed / MEGABYTE:6.1f} MB gzip")
    raw, compressed = (sum(column) / MEGABYTE for column in zip(*sizes, strict=True))
    print(f"  total    {raw:7.1f} MB raw  {compressed:6.1f} MB gzip  (budget {options.raw:.0f} and {options.gzip:.0f})")
    if raw > options.raw or compressed > options.gzip:
        print("the image exceeds its budget: exclude more files in docker/assemble.py")
        return 1
    return 0


def extract(archive: tarfile.TarFile, name: str) -> tarfile.ExFileObject:
    """Open a file in an archive."""
    member = archive.extractfile(name)
    if member is None:
        raise FileNotFoundError(name)
    return member  # type: ignore[return-value]


def uncompressed(layer: bytes) -> bytes:
    """Return a layer as a tar archive."""
    return gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer


def by_library(layers: list[bytes]) -> list[tuple[str, int, int]]:
    """Return the bytes of each library, raw and compressed. What belongs to none is the application or Python."""
    contents: dict[str, list[bytes]] = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for member in archive:
                if member.isfile() and (file := archive.extractfile(member)) is not None:
                    contents.setdefault(library_of(member.name), []).append(file.read())
    sizes = {name: (sum(map(len, parts)), len(zlib.compress(b"".join(parts), 6))) for name, parts in contents.items()}
    small = [name for name, (raw, _) in sizes.items() if raw < LISTED_BYTES]
    listed = [(name, *size) for name, size in sizes.items() if name not in small]
    rest = (sum(column) for column in zip((0, 0), *[sizes[name] for name in small], strict=True))
    return [*listed, (f"{len(small)} smaller ones", *rest)]


def library_of(path: str) -> str:
    """Return the name of the library that a file of the image belongs to."""
    if path.startswith("srv/app/"):
        return "Outcrop"
    match = LIBRARY.match(path)
    return SAME_LIBRARY.get(match[1], match[1]) if match else "Python and its libraries"


if __name__ == "__main__":
    raise SystemExit(main())
