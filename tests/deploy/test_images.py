"""Which images deploy.sh accepts. The rehearsal copies real ones."""

import io
import json
import re
from pathlib import Path

import pytest
import yaml

from scripts.deploy import image as module
from scripts.deploy.environment import Environment, load_environment
from scripts.deploy.image import Images
from scripts.deploy.progress import DeployError, Progress
from tests.deploy.clouds import REPOSITORY, FakeCloud

ROOT = Path(__file__).parents[2]
DIGEST = f"sha256:{'a' * 64}"
STAGING = REPOSITORY.replace("outcrop-test", "outcrop-staging")
RELEASES = "ghcr.io/you/outcrop"


class Copies:
    """An environment that trusts two other repositories; `made` lists the copied images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.cloud = FakeCloud("")
        example = json.loads((ROOT / "infra/environments/example.json").read_text())
        environment = {**example, "name": "test", "images_from": [STAGING, RELEASES]}
        self.images = Images(self.cloud, Environment.model_validate(environment), Progress(io.StringIO()))
        monkeypatch.setattr(module.shutil, "which", lambda name: name)
        monkeypatch.setattr(module, "_run", self._run)

    def _run(self, command: list[str], *_: object) -> None:
        self.made.append(command[-2].removeprefix("docker://"))
        self.cloud.digests.add(command[-2].partition("@")[2])


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    return Copies(monkeypatch)


@pytest.mark.parametrize("repository", [STAGING, RELEASES])
def test_image_of_a_trusted_repository_is_copied(copies: Copies, repository: str) -> None:
    image = f"{repository}@{DIGEST}"
    assert copies.images.take(image) == copies.images.expected(image) == f"{REPOSITORY}@{DIGEST}"
    assert copies.made == [image]


@pytest.mark.parametrize(
    "repository",
    [
        "docker.io/mallory/evil",
        "mallory/evil",
        "outcrop-test",
        f"{REPOSITORY}-evil",
        f"{REPOSITORY}:tag",
        f"{REPOSITORY}/../evil",
        f"{RELEASES}/evil",
        f"evil.example/{RELEASES}",
        RELEASES.upper(),
        STAGING.replace("123456789012", "999999999999"),
    ],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_image_of_any_other_repository_is_refused(copies: Copies, repository: str, is_there: bool) -> None:
    copies.cloud.digests |= {DIGEST} if is_there else set()
    for take in (copies.images.take, copies.images.expected):
        with pytest.raises(DeployError, match=f"test does not trust {re.escape(repository)}; it trusts") as failure:
            take(f"{repository}@{DIGEST}")
        assert f"{REPOSITORY}, {STAGING}, {RELEASES}" in str(failure.value)
        assert f"add {repository} to images_from in the file of the environment" in failure.value.remedy
    assert copies.made == []


@pytest.mark.parametrize(
    ("repository", "fits"),
    [
        (STAGING, True),
        (RELEASES, True),
        ("127.0.0.1:5000/outcrop", True),
        ("outcrop", False),
        ("you/outcrop", False),
        ("ghcr.io", False),
        ("ghcr.io/you/*", False),
        ("ghcr.io/You/outcrop", False),
        (f"{RELEASES}:1.0.0", False),
        (f"{RELEASES}@{DIGEST}", False),
        (f"docker://{RELEASES}", False),
    ],
)
def test_images_from_accepts_full_repository_names_only(tmp_path: Path, repository: str, fits: bool) -> None:
    example = json.loads((ROOT / "infra/environments/example.json").read_text())
    path = tmp_path / "example.json"
    path.write_text(json.dumps({**example, "images_from": [repository]}))
    if fits:
        assert load_environment(str(path)).images_from == (repository,)
    else:
        with pytest.raises(DeployError, match=r"images_from\.0: String should match"):
            load_environment(str(path))


def test_workflows_deploy_only_environments_of_the_checkout() -> None:
    """Only reviewed files decide what is trusted, never the input of a workflow."""
    text = "".join(path.read_text() for path in sorted((ROOT / ".github/workflows").glob("*.yml")))
    calls = re.findall(r"\./deploy\.sh (.*)", text)
    assert [re.sub(r'"\$\{?IMAGE[^"]*"', "IMAGE", call) for call in calls] == [
        "build --environment staging",
        'verify --environment staging --image IMAGE --attestations-from "$GITHUB_REPOSITORY"',
        "deploy --environment staging --image IMAGE",
        'verify --environment production --image IMAGE --attestations-from "$GITHUB_REPOSITORY"',
        "deploy --environment production --image IMAGE",
        'rollback --environment "$ENVIRONMENT"',
    ]
    rollback = yaml.safe_load((ROOT / ".github/workflows/rollback.yml").read_text())
    given = rollback[True]["workflow_dispatch"]["inputs"]["environment"]  # YAML reads `on` as true
    assert (given["type"], given["options"]) == ("choice", ["staging", "production"])
