"""schemathesis sends requests to the admin API, generated from the OpenAPI document, with each database."""

import asyncio
import re
import secrets
import subprocess
from pathlib import Path

import pytest

from tests.databases import PostgresServer, postgres
from tests.servers import NOWHERE, gateway
from tests.soak.test_schemathesis import PROGRAM

__all__ = ["postgres"]
pytestmark = [pytest.mark.soak, pytest.mark.database, pytest.mark.loopback, pytest.mark.timeout(0)]

ADMIN_KEY = "key-of-an-administrator"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_generated_requests_get_what_the_document_says(kind: str, tmp_path: Path, postgres: PostgresServer) -> None:
    url = f"sqlite:///{tmp_path}/outcrop.db" if kind == "sqlite" else asyncio.run(postgres.create())
    database = {"database_url": url, "data_dir": str(tmp_path), "key_pepper": secrets.token_hex(32)}
    with gateway(NOWHERE, **database, admin_keys=f"ops={ADMIN_KEY}") as base:
        command = [PROGRAM, "run", f"{base}/openapi.json", "-H", f"Authorization: Bearer {ADMIN_KEY}", "-n", "40"]
        paths = ["--include-path-regex", "^/(admin/v1|v1/organizations)/"]
        options = ["--generation-deterministic", "-c", CHECKS, "--no-color", *paths]
        ran = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    lines = [line[:300] for line in ran.stdout.splitlines()]
    print("\n".join(lines[-40:]))
    assert ran.returncode == 0
    (count,) = re.findall(r"(\d+) generated, \1 passed", ran.stdout)
    assert int(count) >= 2000
