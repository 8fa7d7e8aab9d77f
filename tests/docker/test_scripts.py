"""The scripts in docker/ that run without a container engine. `build_docker.sh --test` checks the image itself."""

import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from docker.assemble import drop_compiled_sources, strip_symbols
from docker.check import STORING, TRACING

ROOT = Path(__file__).parents[2]


def write_archive(path: Path, *layers: bytes) -> None:
    names = [f"layer{number}.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Layers": names}]).encode()
    with tarfile.open(path, "w") as archive:
        for name, data in [("manifest.json", manifest), *zip(names, layers, strict=True)]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(("budget", "code"), [("3", 0), ("2", 1)])
def test_layer_sizes_are_added_and_compared_with_the_budget(tmp_path: Path, budget: str, code: int) -> None:
    archive = tmp_path / "image.tar"
    write_archive(archive, bytes(2_000_000), gzip.compress(bytes(500_000)))
    ended = subprocess.run(
        [sys.executable, str(ROOT / "docker/measure.py"), str(archive), "--raw", budget],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert "total        2.5 MB raw     0.0 MB gzip" in ended.stdout
    assert ("exceeds its budget" in ended.stdout) is (code == 1)


def test_a_package_runs_from_its_bytecode_alone(tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("from package.inner import answer\n")
    (package / "inner/__init__.py").write_text("answer = 42\n")
    (package / "other.py").write_text("never_loaded = True\n")
    command = [sys.executable, "-c", "import package; print(package.answer)"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, env={})
    drop_compiled_sources(package)
    assert sorted(str(path.relative_to(package)) for path in package.rglob("*.py*")) == [
        "__init__.pyc",
        "inner/__init__.pyc",
        "other.py",
    ]
    ended = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, env={})
    assert ended.stdout == "42\n"


def test_the_size_of_each_library_is_printed(tmp_path: Path) -> None:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for name, size in (
            ("srv/site/sqlalchemy/sql/a.py", 500_000),
            ("srv/site/sqlalchemy/b.so", 1_000_000),
            ("srv/site/mako/c.py", 1000),
            ("srv/app/main.py", 600_000),
            ("usr/lib/python3.13/os.py", 2_000_000),
        ):
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
    path = tmp_path / "image.tar"
    write_archive(path, layer.getvalue())
    command = [sys.executable, str(ROOT / "docker/measure.py"), str(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    listed = [line.split("  MB")[0].rstrip() for line in printed[:4]]
    assert [line.split()[0] for line in listed] == ["Python", "sqlalchemy", "Outcrop", "1"]
    assert "sqlalchemy                 1.5 MB raw" in printed[1]
    assert "1 smaller ones" in printed[3]


@pytest.mark.loopback
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_health_check_passes_only_if_health_is_200(monkeypatch: pytest.MonkeyPatch, status: int, code: int) -> None:
    import asyncio

    from app.cli.probe import probe
    from tests.servers import free_port, http_reply, read_request, upstream

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        assert head.startswith(b"GET /health ")
        writer.write(http_reply(b"{}", f"{status} X"))
        await writer.drain()

    with upstream(handle) as url:
        monkeypatch.setenv("PORT", url.rpartition(":")[2])
        assert probe() == code
    monkeypatch.setenv("PORT", str(free_port()))
    assert probe() == 1
    monkeypatch.setenv("TLS_CERTFILE", "x")
    assert probe() == 1


@pytest.mark.loopback
@pytest.mark.parametrize(("host", "code"), [("0.0.0.0", 0), ("127.0.0.1", 0), ("::1", 1), ("", 0)])
def test_health_check_connects_to_the_host_that_the_gateway_listens_on(
    monkeypatch: pytest.MonkeyPatch, host: str, code: int
) -> None:
    from app.cli.probe import probe
    from tests.servers import gateway

    with gateway("http://127.0.0.1:9") as url:
        monkeypatch.setenv("PORT", url.rpartition(":")[2])
        monkeypatch.setenv("HOST", host)
        assert probe() == code


def test_image_has_no_secret_and_no_root_user() -> None:
    text = (ROOT / "Dockerfile").read_text()
    release = text[text.index("FROM scratch AS release") :]
    assert "USER 65532:65532" in release
    assert "COPY --from=build /rootfs /" in release
    assert "--require-hashes" in text
    for word in ("API_KEYS", "SECRET", "TOKEN", "ADD http"):
        assert word not in text


def test_build_context_contains_only_what_the_build_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    assert set(ignored[1:5]) == {"!app", "!docker/assemble.py", "!docker/loading.py", "!requirements.txt"}


def test_stripped_library_still_works(tmp_path: Path) -> None:
    import httptools

    package = tmp_path / "httptools"
    shutil.copytree(Path(httptools.__file__).parent, package)
    libraries = [*package.rglob("*.so")]
    before = sum(library.stat().st_size for library in libraries)
    for library in libraries:
        strip_symbols(library)
        strip_symbols(library)  # stripping again changes nothing
    assert 0 < sum(library.stat().st_size for library in libraries) <= before
    parse = "import httptools; print(httptools.__file__, httptools.parse_url(b'http://a/b?c').query)"
    ended = subprocess.run([sys.executable, "-c", parse], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(package / "__init__.py"), "b'c'"]


@pytest.mark.parametrize("program", [TRACING, STORING])
def test_programs_that_the_image_check_runs_fit_the_application(program: str) -> None:
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
