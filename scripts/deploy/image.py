"""The image of a deployment: built from this tree, or taken as given; pushed, and known by its digest from then on."""

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

from scripts.deploy.clients import Clients
from scripts.deploy.environment import Environment
from scripts.deploy.progress import DeployError, Progress

BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
UNKNOWN_DIGEST = "sha256:" + 64 * "0"
_ECR = re.compile(r"\d{12}\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_INGREDIENTS = (".dockerignore", "Dockerfile", "app", "docker/assemble.py", "docker/loading.py", "requirements.txt")
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")


class Images:
    """The repository of an environment."""

    def __init__(self, clients: Clients, environment: Environment, progress: Progress) -> None:
        self._clients = clients
        self._environment = environment
        self._progress = progress
        host, _, name = environment.repository_uri.partition("/")
        self._host = environment.registry or host
        self._target = f"{self._host}/{name}"

    def built(self, tag: str = "") -> str:
        """The image of this tree, if it was pushed before; else nothing."""
        digest = self._digest_of(imageTag=tag or self._tag())
        return self._named(digest) if digest else ""

    def build(self) -> str:
        """Build this tree and push it; returns the image by digest. What was pushed before is not built again.

        Raises:
            DeployError: a step failed.
        """
        tag = self._tag()
        if image := self.built(tag):
            self._progress.say(f"the image of this commit is there already: {tag}")
            return image
        self._progress.say(f"building {tag} for {self._environment.platform}")
        local = f"outcrop:{tag}"
        _run(["./build_docker.sh", "--tag", local, "--platform", self._environment.platform], "the image was not built")
        self._progress.say(f"pushing {self._target}:{tag}")
        self._push(local, tag)
        digest = self._digest_of(imageTag=tag)
        if not digest:
            raise DeployError(f"the registry does not know {tag} after the push", "try again")
        return self._named(digest)

    def expected(self, image: str) -> str:
        """What `take` will return for an image, without looking whether it is there.

        Raises:
            DeployError: it is not given by digest, or the environment does not trust its repository.
        """
        if not BY_DIGEST.fullmatch(image):
            raise DeployError(f"{image} is no image by digest", "give --image REPOSITORY@sha256:DIGEST: a tag can move")
        repository, _, digest = image.partition("@")
        environment = self._environment
        # whoever calls names the image, and who may call need not be who may change what runs: the file is reviewed
        if repository not in (environment.repository_uri, *environment.images_from):
            trusted = ", ".join((environment.repository_uri, *environment.images_from))
            raise DeployError(
                f"{environment.name} takes no images from {repository}; it takes them from {trusted}",
                f"if all that it holds may run there, add {repository} to images_from in the environment's file",
            )
        return self._named(digest)

    def take(self, image: str) -> str:
        """An image that is there already, or in a trusted repository, from which it is copied with its digest.

        Raises:
            DeployError: it is not given by digest, is nowhere, or the environment does not trust its repository.
        """
        named = self.expected(image)
        repository, _, digest = image.partition("@")
        if not self._digest_of(imageDigest=digest):
            if repository == self._environment.repository_uri:
                raise DeployError(f"{image} is not in the repository", "look for it: aws ecr describe-images")
            self._progress.say(f"copying it from {repository}")
            self._copy(image, f"promoted-{digest.removeprefix('sha256:')[:16]}")
            if not self._digest_of(imageDigest=digest):
                raise DeployError("the copy has another digest", "copy it with skopeo copy --all --preserve-digests")
        return named

    def unknown(self) -> str:
        """A stand-in for an image that is not built, for a dry run."""
        return self._named(UNKNOWN_DIGEST)

    def _tag(self) -> str:
        """What this tree is called as an image for the environment's processors."""
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
                _run([engine, "tag", local, target], "the image could not be tagged", environment)
                _run([engine, "push", "--quiet", target], "the push failed", environment)
            else:
                push = [engine, "push", "--quiet", *self._plain(), local, f"docker://{target}"]
                _run(push, "the push failed", environment)

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
                    "the copy failed",
                    environment,
                )
            elif shutil.which("docker"):
                create = ["docker", "buildx", "imagetools", "create", "--prefer-index=false", "--tag", target, image]
                _run(create, "the copy failed", environment)
            else:
                raise DeployError("an image is copied by skopeo or docker, and none is installed", "install skopeo")

    def _plain(self) -> list[str]:
        """A registry on this machine speaks plain HTTP."""
        return ["--tls-verify=false"] if _LOOPBACK.fullmatch(self._host) else []

    @contextmanager
    def _logged_in(self, *hosts: str) -> Iterator[dict[str, str]]:
        """Credentials for AWS's registries, in a file of this process, so that they stand on no command line.

        Whatever else docker keeps in its folder stays reachable. A registry that is not AWS's is given no token.
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
        """The region whose token opens a registry; of one that is not AWS's, none."""
        if host == self._environment.registry:
            return self._environment.region
        found = _ECR.fullmatch(host)
        return found["region"] if found else ""

    def _token(self, region: str) -> str:
        """A token opens the registries of the region that gave it."""
        (given,) = self._clients("ecr", region).get_authorization_token()["authorizationData"]
        return str(given["authorizationToken"])


def _with_auths(file: Path, auths: dict[str, Any]) -> dict[str, Any]:
    """Docker's configuration with more credentials, and without the helpers that would be asked before them."""
    try:
        config: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        config = {}
    kept = {name: value for name, value in config.items() if name not in ("credsStore", "credHelpers")}
    return {**kept, "auths": {**config.get("auths", {}), **auths}}


def _engine() -> str:
    """What builds images here, in the order of build_docker.sh."""
    given = os.environ.get("ENGINE")
    return given or next((each for each in ("docker", "buildah", "podman") if shutil.which(each)), "docker")


def _revision() -> str:
    """The commit, and where what goes into the image differs from it, the moment."""
    revision, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", *_INGREDIENTS)
    if revision and not changed:
        return revision
    return f"{revision or 'no-commit'}-changed-{int(time.time())}"


def _git(*arguments: str) -> str:
    """What git says, or nothing where this is no checkout."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S607


def _run(command: list[str], failure: str, environment: dict[str, str] | None = None) -> None:
    ended = subprocess.run(command, env={**os.environ, **(environment or {})}, check=False)
    if ended.returncode:
        raise DeployError(
            f"{failure}: {command[0]} ended with code {ended.returncode}",
            "its own words stand above; mend it and try again",
        )
