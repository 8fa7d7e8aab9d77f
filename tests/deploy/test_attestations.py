"""Which attestations an image must have before deploy.sh changes a stack. The rehearsal runs without GitHub."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.deploy import image as module
from scripts.deploy import stack
from scripts.deploy.attestation import PREDICATES, signer, verification
from scripts.deploy.commands import Deployment
from scripts.deploy.environment import Environment, load_environment
from scripts.deploy.image import Images
from scripts.deploy.progress import DeployError, Progress
from scripts.deploy.smoke import Smoke
from tests.deploy.clouds import REPOSITORY, FakeCloud

ROOT = Path(__file__).parents[2]
DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "ab")
IMAGE = f"{REPOSITORY}@{DIGEST}"
STAGING = REPOSITORY.replace("outcrop-test", "outcrop-staging")
EXAMPLE = json.loads((ROOT / "infra/environments/example.json").read_text())


class Machine:
    """A machine whose GitHub CLI finds the attestations in `valid`, by image and type, and `ran` lists its commands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, attestations_from: str) -> None:
        self.cloud = FakeCloud("http://gateway")
        self.cloud.digests = {DIGEST}
        self.ran: list[list[str]] = []
        self.valid = {(IMAGE, predicate) for predicate in PREDICATES.values()}
        parameters = {**EXAMPLE["parameters"], "DeletionProtection": "false"}
        given = {**EXAMPLE, "name": "test", "parameters": parameters, "attestations_from": attestations_from}
        self.environment = Environment.model_validate({**given, "images_from": [STAGING]})
        monkeypatch.setattr(module, "_run", self._run)
        monkeypatch.setattr(module.shutil, "which", lambda name: name)
        monkeypatch.setattr(Smoke, "run", lambda *_: "")
        monkeypatch.setattr(stack, "_POLL_SECONDS", 0.001)

    def _run(self, command: list[str], failure: str, *_: object) -> None:
        assert not self.cloud.proposals, "an image is verified before the stack is touched"
        self.ran.append(command)
        if command[0] == "gh":
            if (command[3].removeprefix("oci://"), command[-1]) not in self.valid:
                raise DeployError(failure, "see its output above")
        elif command[0] == "skopeo":
            self.cloud.digests.add(command[-2].partition("@")[2])

    @property
    def programs(self) -> list[str]:
        return [command[0] for command in self.ran]

    def deployment(self) -> Deployment:
        return Deployment(self.environment, Progress(io.StringIO()), self.cloud, ROOT / "infra/service.yml", timeout=5)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch, "you/outcrop")


def test_attested_image_is_deployed(strict: Machine) -> None:
    strict.deployment().deploy(IMAGE, dry_run=False)
    assert strict.programs == ["gh", "gh"]
    assert [command[-1] for command in strict.ran] == [
        "https://slsa.dev/provenance/v1",
        "https://spdx.dev/Document/v2.3",
    ]
    assert [each["Image"] for each in strict.cloud.executed] == [IMAGE]


@pytest.mark.parametrize("missing", PREDICATES.values())
def test_image_without_an_attestation_changes_nothing(strict: Machine, missing: str) -> None:
    strict.valid.discard((IMAGE, missing))
    with pytest.raises(DeployError, match=r"you/outcrop has not attested the (provenance|bill of materials) of"):
        strict.deployment().deploy(IMAGE, dry_run=False)
    assert strict.cloud.proposals == []


def test_image_of_another_repository_is_verified_before_it_is_copied(strict: Machine) -> None:
    image = f"{STAGING}@{OTHER}"
    with pytest.raises(DeployError, match="has not attested"):
        strict.deployment().deploy(image, dry_run=False)
    assert strict.programs == ["gh"]
    strict.valid = {(image, predicate) for predicate in PREDICATES.values()}
    strict.deployment().deploy(image, dry_run=False)
    assert strict.programs == ["gh", "gh", "gh", "skopeo"]
    assert [each["Image"] for each in strict.cloud.executed] == [f"{REPOSITORY}@{OTHER}"]


def test_image_of_this_machine_is_not_built_where_attestations_are_required(
    strict: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Images, "built", lambda *_: "")
    with pytest.raises(
        DeployError, match="requires attestations from you/outcrop, and the image of this commit is not"
    ):
        strict.deployment().deploy("", dry_run=False)
    assert strict.ran == []
    monkeypatch.setattr(Images, "built", lambda *_: IMAGE)
    strict.deployment().deploy("", dry_run=False)
    assert [each["Image"] for each in strict.cloud.executed] == [IMAGE]


def test_rollback_needs_no_github(strict: Machine) -> None:
    strict.deployment().deploy(IMAGE, dry_run=False)
    strict.cloud.parameters = {**strict.cloud.parameters, "PreviousImage": f"{REPOSITORY}@{OTHER}"}
    strict.ran.clear()
    strict.deployment().rollback(dry_run=False)
    assert strict.ran == []
    assert strict.cloud.executed[-1]["Image"] == f"{REPOSITORY}@{OTHER}"


def test_environment_may_say_that_it_requires_none(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "none")
    machine.deployment().deploy(IMAGE, dry_run=False)
    assert machine.ran == []
    machine.cloud.proposals.clear()
    with pytest.raises(DeployError, match="says that attestations come from none"):
        machine.deployment().verify(IMAGE)
    machine.deployment().verify(IMAGE, "you/outcrop")
    assert machine.programs == ["gh", "gh"]


def test_file_of_the_environment_takes_precedence_for_verify(strict: Machine) -> None:
    strict.deployment().verify(IMAGE, "mallory/outcrop")
    assert all("you/outcrop" in command for command in strict.ran)
    with pytest.raises(DeployError, match="does not trust"):
        strict.deployment().verify(f"docker.io/mallory/evil@{DIGEST}")
    with pytest.raises(DeployError, match="has no digest"):
        strict.deployment().verify(f"{REPOSITORY}:latest")


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("none", True),
        ("you/outcrop", True),
        ("You-2/out.crop_x", True),
        ("", False),
        ("you", False),
        ("you/*", False),
        ("-f/x", False),
        ("you/outcrop/x", False),
    ],
)
def test_each_file_says_whose_attestations_it_requires(tmp_path: Path, value: str, fits: bool) -> None:
    path = tmp_path / "example.json"
    path.write_text(json.dumps({**EXAMPLE, "attestations_from": value}))
    if fits:
        assert load_environment(str(path)).attestations_from == value
    else:
        with pytest.raises(DeployError, match="attestations_from: String should match"):
            load_environment(str(path))
    path.write_text(json.dumps({key: each for key, each in EXAMPLE.items() if key != "attestations_from"}))
    with pytest.raises(DeployError, match="attestations_from: Field required"):
        load_environment(str(path))


@pytest.mark.parametrize(
    ("identity", "fits"),
    [
        ("you/out.crop/.github/workflows/deploy.yml@refs/heads/main", True),
        ("you/out.crop/.github/workflows/release.yml@refs/tags/v1.2.3", True),
        ("you/out.crop/.github/workflows/deploy.yml@refs/heads/main2", False),
        ("you/out.crop/.github/workflows/deploy.yml@refs/heads/feature", False),
        ("you/out.crop/.github/workflows/deploy.yml@refs/tags/v1.2.3", False),
        ("you/out.crop/.github/workflows/release.yml@refs/heads/main", False),
        ("you/out.crop/.github/workflows/ci.yml@refs/heads/main", False),
        ("you/outxcrop/.github/workflows/deploy.yml@refs/heads/main", False),
        ("mallory/you/out.crop/.github/workflows/deploy.yml@refs/heads/main", False),
    ],
)
def test_only_two_workflows_on_main_and_tags_may_attest(identity: str, fits: bool) -> None:
    pattern = signer("you/out.crop", "main")
    assert bool(re.search(pattern, f"https://github.com/{identity}")) is fits
    command = verification(IMAGE, "you/out.crop", "main", "p")
    assert command[command.index("--cert-identity-regex") + 1] == pattern
    assert command[command.index("--repo") + 1] == "you/out.crop"


def deploy_jobs() -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]
    return jobs


def test_workflow_attests_the_digest_that_it_pushed() -> None:
    job = deploy_jobs()["build"]
    assert job["permissions"] == {"contents": "read", "id-token": "write", "attestations": "write"}
    steps = job["steps"]
    (build,) = [index for index, step in enumerate(steps) if step.get("id") == "build"]
    (bill,) = [step for step in steps if step.get("uses", "").startswith("anchore/sbom-action@")]
    assert bill["with"]["image"] == "${{ steps.build.outputs.image }}"
    assert bill["with"]["format"] == "spdx-json"
    attested = [step for step in steps if step.get("uses", "").startswith("actions/attest@")]
    assert [step["with"].get("sbom-path") for step in attested] == [None, bill["with"]["output-file"]]
    for step in attested:
        assert steps.index(step) > build
        assert step["with"]["subject-digest"] == "${{ steps.parts.outputs.digest }}"
        # attestations in the registry would count among the images that its lifecycle policy keeps
        assert "push-to-registry" not in step["with"]


@pytest.mark.parametrize("name", ["staging", "production"])
def test_workflow_verifies_the_image_before_it_deploys_it(name: str) -> None:
    job = deploy_jobs()[name]
    assert job["permissions"] == {"contents": "read", "id-token": "write", "attestations": "read"}
    runs = [step for step in job["steps"] if "./deploy.sh" in step.get("run", "")]
    verify, deploy = runs
    assert verify["run"].startswith(f"./deploy.sh verify --environment {name} ")
    assert deploy["run"].startswith(f"./deploy.sh deploy --environment {name} ")
    assert verify["env"]["IMAGE"] == deploy["env"]["IMAGE"]
    assert "continue-on-error" not in verify
    assert verify["if"] == "vars.ATTESTATIONS != 'unavailable'"


def test_image_is_built_once_and_promoted() -> None:
    jobs = deploy_jobs()
    assert jobs["staging"]["needs"] == ["ci", "build"]
    assert jobs["production"]["needs"] == "staging"
    assert "failure()" in jobs["staging"]["if"]
    assert "needs.staging.result == 'success'" in jobs["production"]["if"]
