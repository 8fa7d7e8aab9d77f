"""The templates in docker/ produce the files of this project when filled in with its values."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from docker.fill import fill

ROOT = Path(__file__).parents[2]


def filled(name: str, **values: str) -> str:
    return fill((ROOT / "docker" / name).read_text(), values)


def base_images() -> dict[str, str]:
    """Return the digest of each pinned base image in the Dockerfile, by Python version."""
    text = (ROOT / "Dockerfile").read_text()
    found = re.findall(r"^FROM docker\.io/library/python:(\S+)-slim@(sha256:[0-9a-f]{64}) AS base-(\S+)$", text, re.M)
    assert [version for version, _, _ in found] == [stage for _, _, stage in found]
    return {version: digest for version, digest, _ in found}


def test_dockerfile_pins_each_base_image_by_digest() -> None:
    lines = re.findall(r"^FROM (\S+) AS", (ROOT / "Dockerfile").read_text(), re.M)
    assert len(base_images()) == 2
    external = [line for line in lines if line not in ("${BASE}", "build", "scratch")]
    assert len(external) == len(base_images())
    assert all("@sha256:" in line for line in external)


def test_ci_builds_only_pythons_with_a_pinned_base_image() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    built = set(re.findall(r'\{ runner: \S+, python: "(\S+)" \}', workflow))
    assert built == set(base_images())


def test_dependabot_updates_the_digests_but_not_the_python_version() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    (docker,) = [update for update in updates if update["package-ecosystem"] == "docker"]
    assert docker["directory"] == "/"
    (ignored,) = docker["ignore"]
    assert ignored["dependency-name"] == "*"
    assert ignored["update-types"] == ["version-update:semver-major", "version-update:semver-minor"]


def test_dockerfile_template_gives_the_dockerfile() -> None:
    result = filled(
        "Dockerfile.template",
        TITLE="Outcrop",
        DESCRIPTION="An HTTP gateway in front of Amazon Bedrock",
        LICENSE="Apache-2.0",
        VERSION="0.1.0",
        PYTHON="3.13",
        DIGEST=base_images()["3.13"],
        NEXT_PYTHON="3.14",
        NEXT_DIGEST=base_images()["3.14"],
        PACKAGE="app",
        PROBE="app.cli.probe",
        PORT="8000",
    )
    assert result == (ROOT / "Dockerfile").read_text()


def test_ci_template_gives_the_workflow() -> None:
    result = filled(
        "ci.yml.template",
        PYTHON="3.13",
        OTHER_PYTHONS='"3.11", "3.12", "3.14"',
        NEXT_PYTHON="3.14",
        PYTHON_VARIABLE="OUTCROP_PYTHON",
    )
    assert result == (ROOT / ".github/workflows/ci.yml").read_text()


def test_requirements_template_gives_the_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dev = [line for line in (ROOT / "requirements/dev.in").read_text().splitlines() if not line.startswith("#")]
    pins = {"run": project["dependencies"], "develop": dev}
    names = {
        "run": ["boto3", "botocore", "fastapi", "pydantic-settings", "tenacity", "uvicorn"],
        "develop": ["httpx", "moto", "pytest", "pytest-cov"],
    }
    versions = dict(pin.split("==") for pin in [*pins["run"], *pins["develop"]] if "==" in pin)
    more = {part: [pin for pin in pins[part] if pin.split("==")[0] not in names[part]] for part in pins}
    result = filled(
        "requirements.template",
        BOTO=versions["boto3"],
        FASTAPI=versions["fastapi"],
        PYDANTIC_SETTINGS=versions["pydantic-settings"],
        TENACITY=versions["tenacity"],
        UVICORN=versions["uvicorn"],
        HTTPX=versions["httpx"],
        MOTO=versions["moto"],
        PYTEST=versions["pytest"],
        PYTEST_COV=versions["pytest-cov"],
        MORE="\n".join(more["run"]),
        MORE_DEV="\n".join(more["develop"]),
    )
    run, _, develop = result.partition("# for development\n")
    assert sorted(run.split("\n")[:-1]) == sorted(pins["run"])
    assert sorted(develop.split("\n")[:-1]) == sorted(pins["develop"])


def test_missing_and_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no value for PORT"):
        fill("EXPOSE @PORT@\n", {})
    with pytest.raises(ValueError, match="has no name PROT"):
        fill("EXPOSE @PORT@\n", {"PORT": "1", "PROT": "2"})


def test_command_line_reports_errors_with_code_2(tmp_path: Path) -> None:
    template = tmp_path / "x.template"
    template.write_text("#| PORT: the port to listen on\nEXPOSE @PORT@\n")

    def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, str(ROOT / "docker/fill.py"), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout, ended.stderr

    assert run(str(template), "PORT=80=80") == (0, "EXPOSE 80=80\n", "")
    assert run(str(template)) == (2, "", "no value for PORT\n")
    assert run()[0] == run(str(template), "PORT")[0] == 2
