"""Assembles the root file system of the release image. Runs in the build stage, with the interpreter that it copies.

    assemble.py ROOT SITE          adds the interpreter, its shared libraries, certificates, and the packages in SITE
    assemble.py --app APP --loading PROGRAM ROOT
                                   adds the application, and bytecode of the modules whose files PROGRAM lists as JSON

These are two steps so that a change in the application does not rebuild the layer of the first.
"""

import argparse
import compileall
import json
import os
import py_compile
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

# modules of the standard library that a server never imports
STDLIB_LEFT_OUT = {
    "__pycache__", "config-*", "dist-packages", "site-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data",
    "test", "tests", "tkinter", "turtledemo", "turtle.py", "venv", "EXTERNALLY-MANAGED", "LICENSE.txt",
    "sitecustomize.py", "_pyrepl", "curses", "dbm", "_codecs_*", "_multibytecodec*", "_tkinter*", "_test*",
    "_ctypes_test*", "_xxtest*", "xxlimited*", "xxsubtype*", "_curses*", "_dbm*", "_gdbm*", "readline*", "nis*",
    "ossaudiodev*", "audioop*", "unittest", "doctest.py", "pdb.py", "bdb.py", "pydoc.py", "pickletools.py",
    "modulefinder.py", "xmlrpc", "imaplib.py", "smtplib.py", "poplib.py", "mailbox.py", "dom", "wave.py", "pstats.py",
    "profile.py", "cProfile.py", "trace.py", "windows_events.py", "windows_utils.py", "proactor_events.py",
    "_pydecimal.py", "_pydatetime.py", "_pyio.py",
}  # fmt: skip
# files in packages that nothing reads at run time
PACKAGES_LEFT_OUT = {
    "__pycache__",
    "tests",
    "test",
    "*.pyi",
    "*.pyx",
    "*.pxd",
    "*.c",
    "*.h",
    "*.cpp",
    "*.hpp",
    "bin",
    "examples",
    ".agents",
    "mypy.py",
    "pytest_plugin.py",
    "dateutil-zoneinfo.tar.gz",
}
DIST_INFO_KEPT = {"METADATA", "entry_points.txt"}
# of botocore's data for 400 services: what it opens to resolve credentials and endpoints, and to call Bedrock
BOTOCORE_DATA_KEPT = {
    "endpoints.json", "partitions.json", "sdk-default-configuration.json", "_retry.json", "bedrock", "bedrock-runtime",
    "sts", "sso", "sso-oidc", "signin",
    # for `outcrop ledger export`
    "s3",
}  # fmt: skip
# Google APIs that OTLP over HTTP does not use, and attribute names that Outcrop does not use
TRACING_LEFT_OUT = (
    "google/[!p_]*", "googleapis_common_protos*", "opentelemetry/semconv/_incubating/*/[!_o]*",
    "opentelemetry/semconv/_incubating/*/o[!t]*",
)  # fmt: skip
# databases that Outcrop does not use, and what only their tests and type checkers read
DATABASES_LEFT_OUT = (
    "sqlalchemy/dialects/ms*", "sqlalchemy/dialects/my*", "sqlalchemy/dialects/oracle", "sqlalchemy/testing",
    "sqlalchemy/ext/mypy", "alembic/testing", "alembic/templates", "asyncpg/_testbase",
)  # fmt: skip
# large packages of which only the bytecode of loaded modules is kept: a traceback lacks the text of their lines
BYTECODE_ALONE = ("sqlalchemy", "alembic", "mako")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LAUNCHER = """\
#!/bin/python3
import sys

sys.path.insert(0, "/srv")
from app.cli.program import program

program()
"""
_64_BIT_LITTLE_ENDIAN = b"\x02\x01"
_LONG, _TWO_SHORTS = struct.Struct("<Q"), struct.Struct("<HH")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", type=Path)
    parser.add_argument("--loading", type=Path)
    parser.add_argument("paths", nargs="+", type=Path)
    options = parser.parse_args()
    if options.app is not None:
        (root,) = options.paths
        add_application(root, options.app, options.loading)
    else:
        root, site = options.paths
        add_interpreter(root)
        add_packages(root, site)
        add_system_files(root)
        add_shared_libraries(root)


def add_interpreter(root: Path) -> None:
    """Copy the interpreter to the same path, link `/bin/python3` to it, and copy the standard library."""
    interpreter = Path(sys.executable).resolve()
    copy(interpreter, root)
    stdlib = Path(sysconfig.get_path("stdlib"))
    copy_tree(stdlib, root / stdlib.relative_to("/"), STDLIB_LEFT_OUT)
    # on Debian, bin, lib and lib64 are links into /usr; elsewhere they are directories
    for name in ("bin", "lib", "lib64"):
        link = Path("/") / name
        if link.is_symlink():
            (root / "usr" / name).mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(link.readlink())
        else:
            (root / name).mkdir(parents=True, exist_ok=True)
    target = root / "bin" / "python3"
    if not target.exists():
        target.symlink_to(interpreter)


def add_packages(root: Path, site: Path) -> None:
    """Copy the packages to /srv/site, without what nothing reads at run time."""
    target = root / "srv" / "site"
    copy_tree(site, target, PACKAGES_LEFT_OUT)
    for info in target.glob("*.dist-info"):
        remove(child for child in info.iterdir() if child.name not in DIST_INFO_KEPT)
    remove(path for pattern in (*TRACING_LEFT_OUT, *DATABASES_LEFT_OUT) for path in target.glob(pattern))
    bundle = target / "certifi" / "cacert.pem"
    if bundle.is_file():
        bundle.unlink()
        bundle.symlink_to(CERTIFICATES)
    data = target / "botocore" / "data"
    if data.is_dir():
        remove(child for child in data.iterdir() if child.name not in BOTOCORE_DATA_KEPT)
        remove([target / "boto3" / "data", data.parent / "cacert.pem"])


def add_system_files(root: Path) -> None:
    """Add CA certificates, the user `service`, the configuration of name resolution, and /tmp."""
    copy(CERTIFICATES.resolve(), root, as_path=CERTIFICATES)
    etc = root / "etc"
    (etc / "passwd").write_text("service:x:65532:65532::/srv:/nonexistent\n")
    (etc / "group").write_text("service:x:65532:\n")
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    (root / "tmp").mkdir(mode=0o1777, exist_ok=True)


def add_shared_libraries(root: Path) -> None:
    """Add the shared libraries that binaries in `root` need, strip all of them, and write the loader's cache."""
    binaries = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and is_elf(path)]
    needed = {library for binary in binaries for library in libraries_of(binary)}
    # glibc loads these by name when it resolves host names
    needed |= {path for pattern in ("libnss_dns.so.2", "libnss_files.so.2") for path in find_library(pattern)}
    for library in sorted(needed):
        real = library.resolve()
        copy(real, root)
        if library != real:
            copy(real, root, as_path=library)
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and is_elf(path):
            strip_symbols(path)
    (root / "etc" / "ld.so.conf").write_text("\n".join(sorted({str(each.parent) for each in needed})) + "\n")
    subprocess.run(["ldconfig", "-r", str(root)], check=True)


def add_application(root: Path, application: Path, program: Path) -> None:
    """Copy the application to /srv, and compile the modules that it loads to bytecode without a check of the source.

    It also adds the command `outcrop`.
    """
    here = root / "srv"
    copy_tree(application, here / application.name, {"__pycache__"})
    launcher = root / "bin" / "outcrop"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{here / 'site'}:{here}"}
    command = [sys.executable, "-S", str(program.resolve())]
    loading = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=here, env=environment)
    stdlib = sysconfig.get_path("stdlib")
    for name in json.loads(loading.stdout):
        inside = Path(name) if name.startswith(str(root)) else root / Path(name).relative_to("/")
        if name.endswith(".py") and inside.exists():
            shown = "/" + str(inside.relative_to(root))
            py_compile.compile(
                str(inside), dfile=shown, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
            )
    for package in BYTECODE_ALONE:
        drop_compiled_sources(here / "site" / package)
    # the interpreter loads encodings at its start, before PROGRAM can list modules
    compileall.compile_dir(
        str(root / Path(stdlib).relative_to("/") / "encodings"), quiet=2, stripdir=str(root), prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip


def drop_compiled_sources(package: Path) -> None:
    """Replace the source of each compiled module of a package by its bytecode."""
    for compiled in list(package.rglob("__pycache__/*.pyc")):
        source = compiled.parents[1] / f"{compiled.name.partition('.')[0]}.py"
        compiled.replace(source.with_suffix(".pyc"))
        source.unlink()


def copy(source: Path, root: Path, as_path: Path | None = None) -> None:
    """Copy a file below `root`, to the same path or to `as_path`."""
    target = root / (as_path or source).relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(source, target)


def copy_tree(source: Path, target: Path, left_out: set[str]) -> None:
    """Copy a directory, except names that match a pattern in `left_out`."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*left_out), dirs_exist_ok=True, symlinks=False)


def remove(paths: Iterable[Path]) -> None:
    """Remove files and directories, if they exist."""
    for path in list(paths):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()


def is_elf(path: Path) -> bool:
    """Tell whether a file is an ELF program or shared library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def strip_symbols(path: Path) -> None:
    """Truncate an ELF file after its last segment, where symbols and debug information follow.

    `strip` does the same, but installing its package would double the time of the build. Source: elf(5).
    """
    data = bytearray(path.read_bytes())
    if data[4:6] != _64_BIT_LITTLE_ENDIAN:
        return
    (start,), (size, count) = _LONG.unpack_from(data, 32), _TWO_SHORTS.unpack_from(data, 54)
    if not count:  # an object file has no segments
        return
    end = start + size * count
    for segment in range(start, end, size):
        (offset,), (length,) = _LONG.unpack_from(data, segment + 8), _LONG.unpack_from(data, segment + 32)
        end = max(end, offset + length)
    # clear the offset of the section table, the number of its entries, and the index of the section names
    _LONG.pack_into(data, 40, 0)
    _TWO_SHORTS.pack_into(data, 60, 0, 0)
    path.write_bytes(data[:end])


def libraries_of(binary: Path) -> Iterator[Path]:
    """List the shared libraries of a binary, including the loader."""
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
    for match in re.finditer(r"(?:=> )?(/\S+) \(0x", listed):
        yield Path(match[1])


def find_library(name: str) -> Iterator[Path]:
    """Find a library by its name in the loader's cache."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for match in re.finditer(rf"^\s*{re.escape(name)} .*=> (\S+)$", listed, re.MULTILINE):
        yield Path(match[1])


if __name__ == "__main__":
    main()
