"""Webhooks of a gateway with two worker processes."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.outcrop_process import invoke, settings_of
from tests.programs import ROOT, aws, environment, wait_for
from tests.servers import free_port, recording_server

pytestmark = [pytest.mark.slow, pytest.mark.database]
KEY = os.urandom(32)


def test_a_revoked_key_is_reported_once_by_all_processes(tmp_path: Path) -> None:
    port = free_port()
    with recording_server(204) as (url, received):
        secret = f"whsec_{base64.b64encode(KEY).decode()}"
        settings = {"WEBHOOK_URL": url, "WEBHOOK_SECRET": secret, "WEB_CONCURRENCY": "2", "PORT": str(port)}
        variables = environment(**{**aws("http://127.0.0.1:9"), **settings_of(tmp_path), **settings})
        log = (tmp_path / "log").open("w+")
        process = subprocess.Popen([sys.executable, "-m", "app"], env=variables, cwd=ROOT, stderr=log, text=True)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process)
            assert invoke(tmp_path, "teams", "create", "t").exit_code == 0
            made = json.loads(invoke(tmp_path, "keys", "create", "laptop", "--team", "t").stdout)
            assert invoke(tmp_path, "keys", "revoke", made["id"]).exit_code == 0
            deadline = time.monotonic() + 45
            while not received and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(2)
        finally:
            process.terminate()
            process.wait(60)
            log.seek(0)
            written = log.read()
            log.close()
    ((_, headers, body),) = received
    event = json.loads(body)
    assert (event["type"], event["data"]["key_id"]) == ("key.revoked", made["id"])
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert url not in written
    assert secret not in written
