"""Reads what the registry's vulnerability scan found in an image.

ECR's basic scan does not support images that are built from scratch, such as Outcrop's. The enhanced scan, by Amazon
Inspector, reads the packages of Python.
"""

import time
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from scripts.deploy.clients import Clients
from scripts.deploy.environment import Environment
from scripts.deploy.progress import DeployError, Progress

_TIMEOUT_SECONDS = 600.0
_BEGIN_SECONDS = 60.0
_POLL_SECONDS = 5.0
# the enhanced scan goes on after its first result
_COMPLETE = {"COMPLETE", "ACTIVE"}
_RUNNING = {"PENDING", "IN_PROGRESS", ""}


class Scan:
    """The scans of an environment's repository. The file of the environment says what they decide."""

    def __init__(self, clients: Clients, environment: Environment, progress: Progress) -> None:
        self._ecr = clients("ecr")
        self._environment = environment
        self._progress = progress

    def check(self, image: str) -> None:
        """Wait for the scan of an image, and check its findings.

        Raises:
            DeployError: a critical finding has a fix and is not accepted; or the image must be scanned and was not.
        """
        environment = self._environment
        if environment.scan == "none":
            return
        self._progress.say(f"reading the vulnerability scan of {image}")
        digest = image.partition("@")[2]
        status, reason = self._wait(digest)
        if status not in _COMPLETE:
            fault = f"the registry has no scan of {image}: {status} {reason}".rstrip()
            if environment.scan == "required":
                raise DeployError(fault, "turn on enhanced scanning (Amazon Inspector) of the registry, and try again")
            self._progress.say(f"{fault}; the deployment continues, because `scan` is `if_available`")
            return
        found = {name for name in self._critical(digest) if name not in environment.accepted_findings}
        if found:
            raise DeployError(
                f"{image} has critical vulnerabilities with a fix: {', '.join(sorted(found))}",
                "build an image with the fixed packages; or name in accepted_findings, in the file of the environment, "
                "what does not concern it",
            )
        self._progress.say("no critical vulnerability with a fix")

    def _wait(self, digest: str) -> tuple[str, str]:
        """Return the status of the scan, and the registry's reason, once it does not run any more."""
        started = time.monotonic()
        while True:
            try:
                scan = self._describe(digest)["imageScanStatus"]
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code != "ScanNotFoundException":
                    raise
                scan = {"status": "", "description": "no scan has begun"}
            limit = _TIMEOUT_SECONDS if scan["status"] else _BEGIN_SECONDS
            if scan["status"] not in _RUNNING or time.monotonic() - started > limit:
                return scan["status"], scan.get("description", "")
            time.sleep(_POLL_SECONDS)

    def _critical(self, digest: str) -> Iterator[str]:
        """Yield the names of critical vulnerabilities. The basic scan does not tell whether there is a fix."""
        following: dict[str, str] = {}
        while True:
            page = self._describe(digest, **following)
            findings = page.get("imageScanFindings", {})
            for basic in findings.get("findings", ()):
                if basic.get("severity") == "CRITICAL":
                    yield basic["name"]
            for enhanced in findings.get("enhancedFindings", ()):
                is_open = enhanced.get("status", "ACTIVE") == "ACTIVE" and enhanced.get("fixAvailable") != "NO"
                if enhanced.get("severity") == "CRITICAL" and is_open:
                    yield enhanced.get("packageVulnerabilityDetails", {}).get("vulnerabilityId") or enhanced["title"]
            if not page.get("nextToken"):
                return
            following = {"nextToken": page["nextToken"]}

    def _describe(self, digest: str, **following: str) -> Any:
        repository, image = self._environment.repository, {"imageDigest": digest}
        return self._ecr.describe_image_scan_findings(repositoryName=repository, imageId=image, **following)
