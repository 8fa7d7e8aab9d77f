"""`/docs` and `/redoc` name only files of the gateway, and those are the ones that npm publishes."""

import gzip
import hashlib
import json
import re
from urllib.parse import urljoin

import httpx
import pytest
from starlette.applications import Starlette

from app.admin.browser_documents import browser_document_routes
from scripts.browser_assets import BUNDLES, DOCUMENTS, Bundle

PAGES = {"/docs": "docs.html", "/redoc": "redoc.html"}
FOLDER = DOCUMENTS.folder


def references(page: str) -> list[str]:
    return [name for name in re.findall(r'(?:src|href)="([^"]*)"', (FOLDER / page).read_text()) if name != "data:,"]


ASSETS = sorted({name for page in PAGES.values() for name in references(page)})


async def request(path: str, method: str = "GET", encoding: str = "gzip") -> httpx.Response:
    application = Starlette(routes=browser_document_routes())
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.request(method, path, headers={"accept-encoding": encoding})


@pytest.mark.parametrize(("path", "page"), PAGES.items())
async def test_page_has_a_strict_policy_and_only_own_files(path: str, page: str) -> None:
    answer = await request(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert references(page)
    assert all(urljoin("http://gateway/" + path, name).startswith("http://gateway/docs/") for name in references(page))
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", answer.text)


@pytest.mark.parametrize("name", ASSETS)
async def test_file_has_its_type_and_the_same_content_in_each_encoding(name: str) -> None:
    compressed, plain = await request(f"/{name}"), await request(f"/{name}", encoding="identity")
    expected = "text/css" if name.endswith(".css") else "text/javascript"
    assert compressed.headers["content-type"] == f"{expected}; charset=utf-8"
    assert compressed.headers["x-content-type-options"] == "nosniff"
    assert "content-encoding" not in plain.headers
    assert compressed.content == plain.content != b""


@pytest.mark.parametrize("path", [*PAGES, *(f"/{name}" for name in ASSETS)])
async def test_head_has_the_headers_of_get(path: str) -> None:
    head, get = await request(path, "HEAD"), await request(path)
    assert (head.status_code, head.headers) == (200, get.headers)


@pytest.mark.parametrize("name", ["manifest.json", "docs.html", "..%2Fhealth.py", "swagger-ui.css.gz"])
async def test_other_files_are_not_served(name: str) -> None:
    assert (await request(f"/docs/{name}")).status_code == 404


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.folder.parent.name)
def test_files_are_those_of_the_manifest(bundle: Bundle) -> None:
    recorded = json.loads(bundle.manifest.read_text())
    names = [name for files in bundle.files.values() for name in files.values()]
    assert sorted(names) == sorted(recorded["files"])
    for name, expected in recorded["files"].items():
        data = (bundle.folder / name).read_bytes()
        content = gzip.decompress(data) if name.endswith(".gz") else data
        assert hashlib.sha256(content).hexdigest() == expected, "run python -m scripts.browser_assets"


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.folder.parent.name)
def test_manifest_has_the_pinned_versions(bundle: Bundle) -> None:
    packages = json.loads(bundle.manifest.read_text())["packages"]
    recorded = {name: package["version"] for name, package in packages.items()}
    assert recorded == bundle.pinned_versions(), "run python -m scripts.browser_assets"
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
