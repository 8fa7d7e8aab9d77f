"""The image of a deployment: built from this tree or given by digest, in the repository of the environment."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from scripts.deploy.attestation import PREDICATES, verification
from scripts.deploy.clients import Clients
from scripts.deploy.environment import Environment
from scripts.deploy.progress import DeployError, Progress

BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
UNKNOWN_DIGEST = "sha256:" + 64 * "0"
_ECR = re.compile(r"\d{12}\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_INGREDIENTS = (".dockerignore", "Dockerfile", "app", "docker/assemble.py", "docker/loading.py", "requirements.txt")
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")


class Images:
    """The image repository of an environment."""

    def __init__(self, clients: Clients, environment: Environment, progress: Progress) -> None:
        self._clients = clients
        self._environment = environment
        self._progress = progress
        host, _, name = environment.repository_uri.partition("/")
        self._host = environment.registry or host
        self._target = f"{self._host}/{name}"

    def built(self, tag: str = "") -> str:
        """Return the image of this tree if it has been pushed, otherwise an empty string."""
        digest = self._digest_of(imageTag=tag or self._tag())
        return self._named(digest) if digest else ""

    def build(self) -> str:
        """Build and push an image of this tree, unless it has been pushed; return it by digest.

        Raises:
            DeployError: a step failed.
        """
        tag = self._tag()
        if image := self.built(tag):
            self._progress.say(f"the image of this commit is already in the repository: {tag}")
            return image
        self._progress.say(f"building {tag} for {self._environment.platform}")
        local = f"outcrop:{tag}"
        _run(
            ["./build_docker.sh", "--brief", "--tag", local, "--platform", self._environment.platform],
            "building the image failed",
        )
        self._progress.say(f"pushing {self._target}:{tag}")
        self._push(local, tag)
        digest = self._digest_of(imageTag=tag)
        if not digest:
            raise DeployError(f"{tag} is not in the registry after the push", "try again")
        return self._named(digest)

    def expected(self, image: str) -> str:
        """Return what `take` returns for an image, without checking that the image exists.

        Raises:
            DeployError: the image is not given by digest, or the environment does not trust its repository.
        """
        if not BY_DIGEST.fullmatch(image):
            raise DeployError(f"{image} has no digest", "use --image REPOSITORY@sha256:DIGEST, because a tag can move")
        repository, _, digest = image.partition("@")
        environment = self._environment
        # the caller of a workflow names the image; only the reviewed file decides which repositories are trusted
        if repository not in (environment.repository_uri, *environment.images_from):
            trusted = ", ".join((environment.repository_uri, *environment.images_from))
            raise DeployError(
                f"{environment.name} does not trust {repository}; it trusts {trusted}",
                f"if every image in it may run there, add {repository} to images_from in the file of the environment",
            )
        return self._named(digest)

    def take(self, image: str) -> str:
        """Return an image of the environment's repository; copy it from a trusted repository if it is not there.

        Raises:
            DeployError: the image is not given by digest, does not exist, or its repository is not trusted.
        """
        named = self.expected(image)
        repository, _, digest = image.partition("@")
        if not self._digest_of(imageDigest=digest):
            if repository == self._environment.repository_uri:
                raise DeployError(f"{image} is not in the repository", "list its images: aws ecr describe-images")
            self._progress.say(f"copying the image from {repository}")
            self._copy(image, f"promoted-{digest.removeprefix('sha256:')[:16]}")
            if not self._digest_of(imageDigest=digest):
                raise DeployError(
                    "the copy has another digest", "copy it yourself: skopeo copy --all --preserve-digests"
                )
        return named

    def take_attested(self, image: str, repository: str) -> str:
        """Return an image whose attestations are valid, as `take` does.

        Args:
            image: REPOSITORY@sha256:DIGEST, or empty for the image of this tree, which must be in the repository.
            repository: OWNER/NAME of the repository on GitHub whose workflows must have attested it.

        Raises:
            DeployError: an attestation is missing or invalid, or `take` would raise it.
        """
        image = image or self.built()
        if not image:
            raise DeployError(
                f"{self._environment.name} requires attestations from {repository}, and the image of this commit is "
                "not in the registry",
                "let the workflow `deploy` build and attest it, or name an attested image with --image",
            )
        self.verify(image, repository)
        return self.take(image)

    def verify(self, image: str, repository: str) -> None:
        """Verify how an image was built, and the list of what it contains.

        Raises:
            DeployError: an attestation is missing or invalid, or `expected` refuses the image.
        """
        self.expected(image)
        with self._logged_in(image.partition("/")[0]) as environment:
            for name, predicate in PREDICATES.items():
                self._progress.say(f"verifying the {name} of {image}")
                _run(
                    verification(image, repository, self._environment.branch, predicate),
                    f"{repository} has not attested the {name} of {image}",
                    environment,
                )

    def placeholder(self) -> str:
        """Return an image name for a dry run whose image is not built."""
        return self._named(UNKNOWN_DIGEST)

    def _tag(self) -> str:
        """Return the tag of this tree for the processor architecture of the environment."""
        return f"{_revision()}-{self._environment.platform.partition('/')[2]}"

    def _named(self, digest: str) -> str:
        return f"{self._environment.repository_uri}@{digest}"

    def _digest_of(self, **identifier: str) -> str:
        ecr = self._clients("ecr")
        try:
            found = ecr.describe_images(repositoryName=self._environment.repository, imageIds=[identifier])
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "ImageNotFoundException":
                return ""
            if code == "RepositoryNotFoundException":
                raise DeployError(
                    f"there is no repository {self._environment.repository}", "deploy infra/bootstrap.yml first"
                ) from None
            raise
        return next((str(each["imageDigest"]) for each in found["imageDetails"]), "")

    def _push(self, local: str, tag: str) -> None:
        target = f"{self._target}:{tag}"
        with self._logged_in(self._host) as environment:
            engine = _engine()
            if Path(engine).name == "docker":
                _run([engine, "tag", local, target], "tagging the image failed", environment)
                _run([engine, "push", "--quiet", target], "pushing the image failed", environment)
            else:
                push = [engine, "push", "--quiet", *self._plain(), local, f"docker://{target}"]
                _run(push, "pushing the image failed", environment)

    def _copy(self, image: str, tag: str) -> None:
        source_host = image.partition("/")[0]
        target = f"{self._target}:{tag}"
        with self._logged_in(self._host, source_host) as environment:
            if shutil.which("skopeo"):
                verify = ["--dest-tls-verify=false", "--src-tls-verify=false"] if self._plain() else []
                _run(
                    [
                        "skopeo",
                        "copy",
                        "--quiet",
                        "--all",
                        "--preserve-digests",
                        *verify,
                        f"docker://{image}",
                        f"docker://{target}",
                    ],
                    "copying the image failed",
                    environment,
                )
            elif shutil.which("docker"):
                create = ["docker", "buildx", "imagetools", "create", "--prefer-index=false", "--tag", target, image]
                _run(create, "copying the image failed", environment)
            else:
                raise DeployError("no program to copy an image", "install skopeo or docker")

    def _plain(self) -> list[str]:
        """Return the option for plain HTTP if the registry is on this machine."""
        return ["--tls-verify=false"] if _LOOPBACK.fullmatch(self._host) else []

    @contextmanager
    def _logged_in(self, *hosts: str) -> Iterator[dict[str, str]]:
        """Write credentials for those hosts that are AWS registries to a temporary Docker configuration.

        They are in no command line. Everything else in the Docker configuration directory stays available.
        """
        auths = {host: {"auth": self._token(region)} for host in hosts if (region := self._region_of(host))}
        kept = Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser()
        with tempfile.TemporaryDirectory() as folder:
            for each in kept.glob("*") if kept.is_dir() else ():
                if each.name != "config.json":
                    (Path(folder) / each.name).symlink_to(each.resolve())
            file = Path(folder) / "config.json"
            file.touch(mode=0o600)
            file.write_text(json.dumps(_with_auths(kept / "config.json", auths)))
            yield {"DOCKER_CONFIG": folder, "REGISTRY_AUTH_FILE": str(file)}

    def _region_of(self, host: str) -> str:
        """Return the region of an AWS registry; empty for any other registry."""
        if host == self._environment.registry:
            return self._environment.region
        found = _ECR.fullmatch(host)
        return found["region"] if found else ""

    def _token(self, region: str) -> str:
        """Get a token, which is valid for all registries of the region."""
        (given,) = self._clients("ecr", region).get_authorization_token()["authorizationData"]
        return str(given["authorizationToken"])


def _with_auths(file: Path, auths: dict[str, Any]) -> dict[str, Any]:
    """Read a Docker configuration, add credentials, and remove credential helpers, which would take precedence."""
    try:
        config: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        config = {}
    kept = {name: value for name, value in config.items() if name not in ("credsStore", "credHelpers")}
    return {**kept, "auths": {**config.get("auths", {}), **auths}}


def _engine() -> str:
    """Return the program that build_docker.sh uses."""
    given = os.environ.get("ENGINE")
    return given or next((each for each in ("docker", "buildah", "podman") if shutil.which(each)), "docker")


def _revision() -> str:
    """Return the commit, with a timestamp if files of the image are changed."""
    revision, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", *_INGREDIENTS)
    if revision and not changed:
        return revision
    return f"{revision or 'no-commit'}-changed-{int(time.time())}"


def _git(*arguments: str) -> str:
    """Return the output of git; empty outside of a checkout."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S607


def _run(command: list[str], failure: str, environment: dict[str, str] | None = None) -> None:
    ended = subprocess.run(command, env={**os.environ, **(environment or {})}, check=False)
    if ended.returncode:
        raise DeployError(
            f"{failure}: {command[0]} ended with code {ended.returncode}",
            "see its output above",
        )
