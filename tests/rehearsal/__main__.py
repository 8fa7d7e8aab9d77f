"""Runs the rehearsal, and prints how long each act took. Exit code 1 where something is not as it should be."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from scripts.templates import load_template
from tests.rehearsal.cloud import ACCOUNT, REGION, ROOT, Cloud, running_cloud
from tests.rehearsal.traffic import Traffic

NAME = "rehearsal"
PROMOTED = "promoted"
STACK = f"outcrop-{NAME}"
BUILD_OPTIONS = (
    "--isolation chroot --pull=never -v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro"
)
SELF_ROLLBACK_SECONDS = 120.0
# what ministack refuses in a template; tests/infra reads these, cfn-lint and checkov check them
NOT_EMULATED = ("LoadBalancerToTasks", "ScalableTarget", "ScaleOnInFlight", "ScaleOnCpu", "ErrorsAlarm")


class Rehearsal:
    """One run.

    Args:
        cloud: where it plays. folder: for its files. tree: a copy of the project, with a history of its own.
    """

    def __init__(self, cloud: Cloud, folder: Path, tree: Path) -> None:
        self._cloud = cloud
        self._folder = folder
        self._tree = tree
        self._printed: list[str] = []
        self._environment = folder / f"{NAME}.json"
        self._promoted = folder / f"{PROMOTED}.json"
        self._template = folder / "service.json"
        self._url = f"{cloud.endpoint}/_alb/{STACK}"
        self.faults: list[str] = []

    def play(self) -> None:
        """All acts."""
        self._bootstrap()
        self._refuse_another_account()
        self._deploy_twice()
        with Traffic(self._url, self._secret("api-keys")) as traffic:
            self._second_version()
            self._version_that_does_not_start()
            self._manual_rollback()
        print(f"a client called {traffic.sent} times throughout; slowest {traffic.slowest:.1f} s")
        self._expect(not traffic.lost, f"no request was lost ({traffic.lost[:5]})")
        self._expect(traffic.sent > 200, "the client called all the time")
        # Between its coming into service and the smoke test's end, callers meet such a version: no client runs here.
        self._version_that_does_not_serve()
        self._expect(self._deploy_sh("status") == 0, "status says that it serves")
        self._promotion()
        self._nothing_secret_was_printed()

    def _bootstrap(self) -> None:
        iam, cloudformation = self._cloud.client("iam"), self._cloud.client("cloudformation")
        provider = iam.create_open_id_connect_provider(
            Url="https://token.actions.githubusercontent.com", ClientIDList=["sts.amazonaws.com"]
        )["OpenIDConnectProviderArn"]
        started = time.monotonic()
        for name, path in ((NAME, self._environment), (PROMOTED, self._promoted)):
            stack = f"outcrop-{name}-bootstrap"
            given = {"Environment": name, "GitHubRepository": "owner@1/name@2", "OidcProviderArn": provider}
            cloudformation.create_stack(
                StackName=stack,
                TemplateBody=json.dumps(load_template("bootstrap.yml")),
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
            cloudformation.get_waiter("stack_create_complete").wait(StackName=stack)
            (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
            outputs = {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}
            self._write_environment(name, path, outputs)
        self._told("two environments bootstrapped", started)
        self._template.write_text(json.dumps(rehearsable_template(self._cloud.bedrock)))

    def _write_environment(self, name: str, path: Path, outputs: dict[str, str]) -> None:
        ec2 = self._cloud.client("ec2")
        subnets = ec2.describe_subnets()["Subnets"]
        two = ",".join(each["SubnetId"] for each in subnets[:2])
        path.write_text(
            json.dumps(
                {
                    "name": name,
                    "account": ACCOUNT,
                    "region": REGION,
                    "stack_role": outputs["StackRoleArn"],
                    "url": f"{self._cloud.endpoint}/_alb/outcrop-{name}",
                    "registry": self._cloud.endpoint.removeprefix("http://"),
                    "images_from": [self._elsewhere()] if name == PROMOTED else [],
                    "parameters": {
                        "RepositoryArn": outputs["RepositoryArn"],
                        "PermissionsBoundaryArn": outputs["PermissionsBoundaryArn"],
                        "VpcId": subnets[0]["VpcId"],
                        "LoadBalancerSubnets": two,
                        "TaskSubnets": two,
                        "AllowedCidr": "10.0.0.0/8",
                        "BedrockModelId": "scripted.echo-v1:0",
                        "ModelArns": f"arn:aws:bedrock:{REGION}::foundation-model/scripted.echo-v1:0",
                    },
                }
            )
        )

    def _refuse_another_account(self) -> None:
        other = self._folder / "other" / self._environment.name
        other.parent.mkdir()
        other.write_text(self._environment.read_text().replace(ACCOUNT, "111111111111"))
        ended = self._deploy_sh("status", environment=other)
        self._expect(ended == 1 and "is in account 111111111111" in self._printed[-1], "another account is refused")

    def _deploy_twice(self) -> None:
        ended = self._deploy_sh("deploy", "--dry-run")
        self._expect(ended == 0 and "AWS::ECS::Service" in self._printed[-1], "a dry run shows the change set")
        started = time.monotonic()
        self._expect(self._deploy_sh("deploy") == 0, "version 1 comes into service")
        self._told("version 1, built and deployed", started)
        # as autoscaling does on AWS
        self._cloud.client("ecs").update_service(cluster=STACK, service=STACK, desiredCount=2)
        self._wait_for_tasks(2)
        started = time.monotonic()
        self._expect(self._deploy_sh("deploy") == 0, "the same again changes nothing")
        self._expect("nothing to change" in self._printed[-1], "and says so")
        self._told("version 1 again", started)

    def _second_version(self) -> None:
        self._commit("app/__init__.py", '__version__ = "', '__version__ = "2.0.0-')
        started = time.monotonic()
        self._expect(self._deploy_sh("deploy") == 0, "version 2 comes into service")
        self._told("version 2, built and deployed", started)
        self._expect(self._version().startswith("2.0.0-"), "version 2 answers")

    def _version_that_does_not_start(self) -> None:
        self._commit("app/cli/serve.py", "settings = load_settings()", "raise SystemExit(3)")
        started = time.monotonic()
        self._expect(self._deploy_sh("deploy") == 1, "version 3, which does not start, is refused")
        seconds = self._told("version 3, built, failed and rolled back by itself", started)
        self._expect("UPDATE_ROLLBACK_COMPLETE" in self._printed[-1], "the stack went back")
        self._expect("gateway exited with code 3" in self._printed[-1], "why its tasks ended is told")
        self._expect("what to do: " in self._printed[-1], "what to do is told")
        self._expect(seconds < SELF_ROLLBACK_SECONDS, f"the rollback took under {SELF_ROLLBACK_SECONDS:.0f} s")
        self._expect(self._version().startswith("2.0.0-"), "version 2 still answers")
        self._revert()

    def _version_that_does_not_serve(self) -> None:
        self._commit(
            "app/governance/identity/authenticator.py", 'scheme.lower() == "bearer"', 'scheme.lower() == "bear"'
        )
        started = time.monotonic()
        self._expect(self._deploy_sh("deploy") == 1, "version 4, which starts and does not serve, is refused")
        seconds = self._told("version 4, built, deployed, found wanting and rolled back by itself", started)
        self._expect("chat call: status 401" in self._printed[-1], "what failed is told")
        self._expect("the previous version is running again" in self._printed[-1], "how it stands is told")
        self._expect(seconds < SELF_ROLLBACK_SECONDS, f"the rollback took under {SELF_ROLLBACK_SECONDS:.0f} s")
        self._revert()

    def _manual_rollback(self) -> None:
        started = time.monotonic()
        self._expect(self._deploy_sh("rollback") == 0, "a rollback by hand comes into service")
        self._told("rollback by hand", started)
        self._expect(not self._version().startswith("2.0.0-"), "version 1 answers again")

    def _promotion(self) -> None:
        digest = self._image().partition("@")[2]
        image = f"{self._elsewhere()}@{digest}"
        strange = f"127.0.0.1/anybody@{digest}"
        ended = self._deploy_sh("deploy", "--image", strange, environment=self._promoted)
        self._expect(ended == 1 and "does not trust" in self._printed[-1], "an image from elsewhere is refused")
        started = time.monotonic()
        ended = self._deploy_sh("deploy", "--image", image, environment=self._promoted)
        self._expect(ended == 0, "an image is promoted to another environment")
        self._told("promotion", started)
        self._expect(f"outcrop-{PROMOTED}@{digest}" in self._printed[-1], "with the same digest")

    def _elsewhere(self) -> str:
        """The first environment's repository, as the second one reaches it."""
        return f"{self._cloud.endpoint.removeprefix('http://')}/{STACK}"

    def _image(self) -> str:
        (stack,) = self._cloud.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return next(each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "Image")

    def _nothing_secret_was_printed(self) -> None:
        text = "".join(self._printed)
        hidden = [self._secret("api-keys"), self._secret("smoke-api-key"), "ministack-auth-token"]
        self._expect(not any(each in text for each in hidden), "no secret was printed")

    def _deploy_sh(self, command: str, *options: str, environment: Path | None = None) -> int:
        given = ["--environment", str(environment or self._environment), "--template", str(self._template), *options]
        ended = subprocess.run(
            ["./deploy.sh", command, *given],
            cwd=self._tree,
            env={**os.environ, **self._cloud.environment(), "BUILD_OPTIONS": BUILD_OPTIONS},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        self._printed.append(ended.stdout)
        with (self._folder / "deploy.log").open("a") as log:
            log.write(ended.stdout)
        return ended.returncode

    def _commit(self, name: str, old: str, new: str) -> None:
        path = self._tree / name
        text = path.read_text()
        if old not in text:
            raise AssertionError(f"{name} no longer holds {old!r}")
        path.write_text(text.replace(old, new, 1))
        git(self._tree, "commit", "--all", "--message", f"Rehearse {name}")

    def _revert(self) -> None:
        git(self._tree, "reset", "--hard", "--quiet", "HEAD~1")

    def _wait_for_tasks(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            (service,) = self._cloud.client("ecs").describe_services(cluster=STACK, services=[STACK])["services"]
            if service["runningCount"] == count:
                return
            time.sleep(0.2)
        self._expect(False, f"{count} tasks run")

    def _secret(self, name: str) -> str:
        found = self._cloud.client("secretsmanager").get_secret_value(SecretId=f"{STACK}/{name}")
        return str(found["SecretString"])

    def _version(self) -> str:
        with urllib.request.urlopen(f"{self._url}/health", timeout=10) as answer:
            return str(json.load(answer)["version"])

    def _told(self, act: str, started: float) -> float:
        seconds = time.monotonic() - started
        print(f"{seconds:7.1f} s  {act}", flush=True)
        return seconds

    def _expect(self, holds: bool, words: str) -> None:
        print(f"           {'ok  ' if holds else 'FAIL'} {words}", flush=True)
        if not holds:
            self.faults.append(words)
            print("".join(f"             | {line}\n" for line in self._printed[-1].splitlines()[-40:]), flush=True)


def rehearsable_template(bedrock: str) -> dict[str, Any]:
    """service.yml without what ministack refuses, and with the embedded Bedrock and its keys for the tasks."""
    template = load_template("service.yml")
    for name in NOT_EMULATED:
        del template["Resources"][name]
    service = template["Resources"]["Service"]
    service["DependsOn"] = [name for name in service["DependsOn"] if name not in NOT_EMULATED]
    (container,) = template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    settings = {
        # the general variable is set by ministack itself, to itself
        "AWS_ENDPOINT_URL_BEDROCK": bedrock,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    # ministack makes up punctuation although it is told not to, and a comma would end a key
    for name in ("ApiKeys", "MetricsKey", "SmokeApiKey"):
        properties = template["Resources"][name]["Properties"]
        del properties["GenerateSecretString"]
        properties["SecretString"] = secrets.token_urlsafe(30)
    container["Environment"] += [{"Name": name, "Value": value} for name, value in settings.items()]
    return template


def git(tree: Path, *arguments: str) -> None:
    """Run git in a tree, as nobody in particular."""
    identity = ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost"]
    subprocess.run(["git", *identity, *arguments], cwd=tree, check=True, stdout=subprocess.DEVNULL)


def copy_tree(target: Path) -> None:
    """This tree, what is not committed included, as a repository of one commit; its environment is shared."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")
    git(target, "init", "--quiet")
    git(target, "add", "--all")
    git(target, "commit", "--quiet", "--message", "Rehearse")


def main() -> int:
    """Run the rehearsal; returns 1 where something failed. The first argument is an image to run Bedrock from."""
    with tempfile.TemporaryDirectory(prefix="outcrop-rehearsal-") as name:
        folder = Path(name)
        tree = folder / "tree"
        copy_tree(tree)
        with running_cloud(sys.argv[1], folder) as cloud:
            rehearsal = Rehearsal(cloud, folder, tree)
            try:
                rehearsal.play()
            finally:
                if keep := os.environ.get("REHEARSAL_LOGS"):
                    for log in folder.glob("*.log"):
                        shutil.copy2(log, keep)
    return 1 if rehearsal.faults else 0


if __name__ == "__main__":
    sys.exit(main())
