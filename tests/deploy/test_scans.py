"""Which findings of the registry's vulnerability scan stop a deployment. The rehearsal runs one with such a finding."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from scripts.deploy import scan as module
from scripts.deploy import stack
from scripts.deploy.commands import Deployment
from scripts.deploy.environment import Environment
from scripts.deploy.progress import DeployError, Progress
from scripts.deploy.smoke import Smoke
from tests.deploy.clouds import REPOSITORY, FakeCloud, refusal

ROOT = Path(__file__).parents[2]
DIGEST = f"sha256:{'a' * 64}"
IMAGE = f"{REPOSITORY}@{DIGEST}"
EXAMPLE = json.loads((ROOT / "infra/environments/example.json").read_text())


def scan(status: str = "COMPLETE", description: str = "", **findings: Any) -> Any:
    return {"imageScanStatus": {"status": status, "description": description}, "imageScanFindings": findings}


def enhanced(severity: str = "CRITICAL", fix: str = "YES", status: str = "ACTIVE") -> Any:
    details = {"vulnerabilityId": "CVE-2026-1"}
    return {"severity": severity, "fixAvailable": fix, "status": status, "packageVulnerabilityDetails": details}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    monkeypatch.setattr(Smoke, "run", lambda *_: "")
    monkeypatch.setattr(stack, "_POLL_SECONDS", 0.001)
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.001)
    cloud = FakeCloud("http://gateway")
    cloud.digests = {DIGEST}
    return cloud


def deploy(cloud: FakeCloud, **options: Any) -> str:
    """Deploy; return what was printed."""
    printed = io.StringIO()
    parameters = {**EXAMPLE["parameters"], "DeletionProtection": "false"}
    environment = Environment.model_validate({**EXAMPLE, "name": "test", "parameters": parameters, **options})
    Deployment(environment, Progress(printed), cloud, ROOT / "infra/service.yml", timeout=5).deploy(
        IMAGE, dry_run=False
    )
    return printed.getvalue()


@pytest.mark.parametrize(
    "found",
    [
        scan("ACTIVE", enhancedFindings=[enhanced("HIGH"), enhanced()]),
        scan("ACTIVE", enhancedFindings=[enhanced(fix="PARTIAL")]),
        scan(findings=[{"name": "CVE-2026-1", "severity": "CRITICAL"}]),
    ],
    ids=["enhanced", "some packages have a fix", "basic"],
)
def test_a_critical_vulnerability_with_a_fix_stops_a_deployment(cloud: FakeCloud, found: Any) -> None:
    cloud.scans = [found]
    with pytest.raises(DeployError, match=f"{IMAGE} has critical vulnerabilities with a fix: CVE-2026-1") as failure:
        deploy(cloud)
    assert "accepted_findings" in failure.value.remedy
    assert not cloud.proposals
    deploy(cloud, accepted_findings=["CVE-2026-1"])
    assert [each["Image"] for each in cloud.executed] == [IMAGE]


def test_all_pages_are_read(cloud: FakeCloud) -> None:
    cloud.scans = [scan(), {**scan(), "nextToken": "2"}, scan(enhancedFindings=[enhanced()])]
    with pytest.raises(DeployError, match="CVE-2026-1"):
        deploy(cloud)


@pytest.mark.parametrize(
    "found",
    [
        scan(),
        scan(enhancedFindings=[enhanced("HIGH"), enhanced(fix="NO"), enhanced(status="SUPPRESSED")]),
        scan(findings=[{"name": "CVE-2026-1", "severity": "HIGH"}]),
    ],
)
def test_other_findings_stop_nothing(cloud: FakeCloud, found: Any) -> None:
    cloud.scans = [found]
    assert "no critical vulnerability with a fix" in deploy(cloud, scan="required")


def test_a_scan_is_awaited(cloud: FakeCloud) -> None:
    cloud.scans = [refusal("ScanNotFoundException", "none"), scan("IN_PROGRESS"), scan(enhancedFindings=[enhanced()])]
    with pytest.raises(DeployError, match="CVE-2026-1"):
        deploy(cloud)


@pytest.mark.parametrize(
    "answer",
    [
        scan("UNSUPPORTED_IMAGE", "no operating system"),
        scan("FAILED", "oops"),
        refusal("ScanNotFoundException", "none"),
    ],
)
def test_an_image_without_a_scan_is_deployed_unless_one_is_required(
    cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(module, "_BEGIN_SECONDS", 0.01)
    cloud.scans = [answer]
    with pytest.raises(DeployError, match="the registry has no scan of") as failure:
        deploy(cloud, scan="required")
    assert "enhanced scanning" in failure.value.remedy
    assert not cloud.proposals
    assert "the deployment continues" in deploy(cloud)


def test_none_reads_no_scan_and_a_rollback_neither(cloud: FakeCloud) -> None:
    deploy(cloud)
    cloud.scans = [scan(enhancedFindings=[enhanced()])]
    deploy(cloud, scan="none")
