"""Verifies the attestations of an image with the GitHub CLI.

The workflow that built the image signs an attestation, with a certificate that Sigstore issues for the OIDC token of
the run. The GitHub CLI checks the signature, the certificate, and that the attestation names the digest of the image.
"""

import re

from scripts.deploy.environment import Environment

# what an image must have: a statement of how it was built, and a list of what it contains
PREDICATES = {"provenance": "https://slsa.dev/provenance/v1", "bill of materials": "https://spdx.dev/Document/v2.3"}


def verification(image: str, repository: str, branch: str, predicate: str) -> list[str]:
    """Return the command that verifies one attestation of an image.

    Args:
        image: REPOSITORY@sha256:DIGEST.
        repository: OWNER/NAME of the repository on GitHub whose workflows must have signed.
        branch: branch of the workflow deploy.yml. release.yml signs for tags.
        predicate: type of the attestation.
    """
    return [
        "gh",
        "attestation",
        "verify",
        f"oci://{image}",
        "--repo",
        repository,
        "--cert-identity-regex",
        signer(repository, branch),
        "--predicate-type",
        predicate,
    ]


def signer(repository: str, branch: str) -> str:
    """Return a regular expression for the identities of the two workflows that build images."""
    workflows = rf"(deploy\.yml@refs/heads/{re.escape(branch)}|release\.yml@refs/tags/v[0-9][0-9A-Za-z.-]*)"
    return rf"^https://github\.com/{re.escape(repository)}/\.github/workflows/{workflows}$"


def required_repository(environment: Environment) -> str:
    """Return the repository whose attestations an image must have; empty if the environment requires none."""
    return "" if environment.attestations_from == "none" else environment.attestations_from
