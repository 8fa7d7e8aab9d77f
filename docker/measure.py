"""Prints the size of an image by layer, raw and compressed, and fails if it exceeds the budget.

    measure.py ARCHIVE [--raw MB] [--gzip MB]

ARCHIVE is written by `docker save` or `buildah push IMAGE docker-archive:ARCHIVE`. Compressed means gzip level 6, as
in registries.
"""

import argparse
import gzip
import json
import tarfile
import zlib

MEGABYTE = 1_000_000


def main() -> int:
    """Run the command line; return 1 if the image exceeds the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive")
    parser.add_argument("--raw", type=float, default=125.0, help="budget in MB, uncompressed")
    parser.add_argument("--gzip", type=float, default=42.0, help="budget in MB, compressed")
    options = parser.parse_args()
    with tarfile.open(options.archive) as archive:
        (manifest,) = json.load(extract(archive, "manifest.json"))
        sizes = [measure(extract(archive, layer).read()) for layer in manifest["Layers"]]
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


def measure(layer: bytes) -> tuple[int, int]:
    """Return the size of a layer in bytes, raw and compressed."""
    raw = gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer
    return len(raw), len(zlib.compress(raw, 6))


if __name__ == "__main__":
    raise SystemExit(main())
