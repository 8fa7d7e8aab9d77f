"""Rehearses a deployment, prints the time of each step, and exits with code 1 if a check fails."""

import asyncio
import json
import os
import re
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
from app.storage.schema import latest_revision
from scripts.templates import load_template
from tests.rehearsal.cloud import ACCOUNT, REGION, ROOT, Cloud, bridge_address, running_cloud
from tests.rehearsal.database import TaskDatabase, running_database
from tests.rehearsal.traffic import Traffic

NAME = "rehearsal"
PROMOTED = "promoted"
STACK = f"outcrop-{NAME}"
SELF_ROLLBACK_SECONDS = 120.0
# resources that ministack refuses in a template; tests/infra, cfn-lint and checkov check them
NOT_EMULATED = (
    "LoadBalancerToTasks",
    "TaskRolePolicy",
    "WebAclAssociation",
    "ScalableTarget",
    "ScaleOnInFlight",
    "ScaleOnCpu",
    "ErrorsAlarm",
)

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", "{before}"


def upgrade() -> None:
    op.add_column("teams", sa.Column("rehearsed", sa.Text))
"""


# calls of the key of the traffic; those of the smoke test have no team
CHARGED = (
    "select count(*) || ' ' || count(distinct attempt_id) from ledger where phase = 'settle' and team_id <> '' and "
    "not is_estimated"
)


class Rehearsal:
    """A rehearsal of a deployment.

    Args:
        cloud: the emulated AWS.
        database: the PostgreSQL of the first environment. The second one has none.
        folder: directory for its files.
        tree: a copy of the project, with its own Git history.
    """

    def __init__(self, cloud: Cloud, database: TaskDatabase, folder: Path, tree: Path) -> None:
        self._cloud = cloud
        self._database = database
        self._folder = folder
        self._tree = tree
        self._printed: list[str] = []
        self._environment = folder / f"{NAME}.json"
        self._promoted = folder / f"{PROMOTED}.json"
        self._template = folder / "service.json"
        self._url = f"{cloud.endpoint}/_alb/{STACK}"
        self.failures: list[str] = []

    def run(self) -> None:
        """Run all steps."""
        self._bootstrap()
        self._refuse_another_account()
        self._deploy_twice()
        self._critical_vulnerability()
        with Traffic(self._url, self._new_key()) as traffic:
            self._second_version()
            self._version_that_does_not_start()
            self._version_that_cannot_migrate()
            self._manual_rollback()
        print(f"a client sent {traffic.sent} requests during the deployments; the slowest took {traffic.slowest:.1f} s")
        self._expect(not traffic.lost, f"no request was lost ({traffic.lost[:5]})")
        self._expect(traffic.sent > 200, "the client sent requests all the time")
        served = traffic.sent - len(traffic.lost)
        self._expect(self._charged(served) == served, f"each of {served} requests is in the ledger once")
        # until the smoke test ends, such a version gets requests, so no client runs here
        self._version_that_does_not_serve()
        self._expect(self._deploy_sh("status") == 0, "status reports a working gateway")
        self._promotion()
        self._check_that_no_secret_was_printed()

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
        self._report("two environments bootstrapped", started)
        self._template.write_text(json.dumps(rehearsable_template(self._cloud.bedrock)))

    def _write_environment(self, name: str, path: Path, outputs: dict[str, str]) -> None:
        ec2 = self._cloud.client("ec2")
        database = self._database_parameters() if name == NAME else {}
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
                    "attestations_from": "none",  # the rehearsal runs without GitHub
                    "images_from": [self._first_repository()] if name == PROMOTED else [],
                    "parameters": {
                        "VpcId": subnets[0]["VpcId"],
                        "LoadBalancerSubnets": two,
                        "TaskSubnets": two,
                        "AllowedCidr": "10.0.0.1/32",
                        "BedrockModelId": "scripted.echo-v1:0",
                        "ModelArns": f"arn:aws:bedrock:{REGION}::foundation-model/scripted.echo-v1:0",
                        **database,
                    },
                }
            )
        )

    def _database_parameters(self) -> dict[str, str]:
        """Return what the outputs of database.yml are on AWS."""
        asyncio.run(self._database.set_up())
        certificates = self._cloud.client("secretsmanager").create_secret(
            Name=f"{STACK}/database-ca", SecretString=self._database.certificates
        )
        return {
            "DatabaseUrl": self._database.url,
            "DatabaseResourceId": "cluster-REHEARSAL",
            "DatabaseSecurityGroup": "sg-0123456789abcdef0",
            "DatabaseCaSecret": certificates["ARN"],
        }

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
        self._expect(self._deploy_sh("deploy") == 0, "version 1 is deployed")
        self._report("version 1: built and deployed", started)
        # autoscaling would do this on AWS
        self._cloud.client("ecs").update_service(cluster=STACK, service=STACK, desiredCount=2)
        self._wait_for_tasks(2)
        started = time.monotonic()
        self._expect(self._deploy_sh("deploy") == 0, "deploying it again changes nothing")
        self._expect("nothing to change" in self._printed[-1], "the output says so")
        self._report("version 1 again", started)

    def _charged(self, expected: int) -> int:
        """Return how many requests of the key were charged, once they are as many as expected, or after ten seconds."""
        deadline = time.monotonic() + 10
        while True:
            count, attempts = asyncio.run(self._database.fetch(CHARGED)).split()
            if (int(count) >= expected and count == attempts) or time.monotonic() > deadline:
                print(f"           {attempts} attempts of {count} entries in the ledger")
                return int(count)
            time.sleep(0.2)

    def _new_key(self) -> str:
        """Create a team and a key, which later versions must accept, too; returns the secret of the key."""
        team = self._administer("teams", {"name": "rehearsal", "limits": {"max_parallel_requests": 50}})
        key = self._administer("keys", {"name": "traffic", "team_id": team["id"]})
        return str(key["secret"])

    def _administer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._secret('admin-keys')}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/admin/v1/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            made: dict[str, Any] = json.load(answer)
        return made

    def _critical_vulnerability(self) -> None:
        findings = self._folder / "findings.json"
        details = {"vulnerabilityId": "CVE-2026-0001"}
        finding = {"severity": "CRITICAL", "fixAvailable": "YES", "packageVulnerabilityDetails": details}
        findings.write_text(json.dumps([finding]))
        self._expect(self._deploy_sh("deploy") == 1, "an image with a critical vulnerability is not deployed")
        self._expect("vulnerabilities with a fix: CVE-2026-0001" in self._printed[-1], "the vulnerability is named")
        findings.unlink()

    def _second_version(self) -> None:
        revision = self._add_migration()
        self._commit("app/__init__.py", '__version__ = "', '__version__ = "2.0.0-')
        started = time.monotonic()
        self._expect(self._deploy_sh("deploy") == 0, "version 2 is deployed")
        self._report("version 2: built and deployed", started)
        self._expect(self._version().startswith("2.0.0-"), "version 2 responds")
        self._expect("migrating the database" in self._printed[-1], "its migration ran first")
        self._expect(self._revision() == revision, f"the schema has revision {revision}")

    def _version_that_cannot_migrate(self) -> None:
        self._commit("app/cli/migrate.py", "settings = load_settings()", "raise SystemExit(3)")
        started = time.monotonic()
        self._expect(self._deploy_sh("deploy") == 1, "the deployment of a version whose migration fails, fails")
        self._report("a failed migration: built, stopped", started)
        self._expect("migration of the database failed: exit code 3" in self._printed[-1], "the reason is printed")
        self._expect("--log-stream-name-prefix migrate/" in self._printed[-1], "what to do is printed")
        self._expect(self._version().startswith("2.0.0-"), "version 2 was not touched")
        self._revert()

    def _add_migration(self) -> str:
        """Add a migration after the last one; returns its revision."""
        before = latest_revision()
        revision = f"{int(before) + 1:04}"
        path = self._tree / "app/storage/migrations/versions" / f"v{revision}_rehearsal.py"
        path.write_text(MIGRATION.format(revision=revision, before=before))
        git(self._tree, "add", str(path))
        return revision

    def _revision(self) -> str:
        return asyncio.run(self._database.fetch("select version_num from alembic_version"))

    def _version_that_does_not_start(self) -> None:
        self._commit("app/cli/serve.py", "settings = load_settings()", "raise SystemExit(3)")
        started = time.monotonic()
        self._expect(self._deploy_sh("deploy") == 1, "the deployment of version 3, which does not start, fails")
        self._report("version 3: built, failed, rolled back", started)
        seconds = self._seconds_after_build()
        self._expect("UPDATE_ROLLBACK_COMPLETE" in self._printed[-1], "the stack was rolled back")
        self._expect("gateway exited with code 3" in self._printed[-1], "the reason is printed")
        self._expect("what to do: " in self._printed[-1], "what to do is printed")
        self._expect(seconds < SELF_ROLLBACK_SECONDS, f"it was undone {seconds:.0f} s after its image was there")
        self._expect(self._version().startswith("2.0.0-"), "version 2 still responds")
        self._revert()

    def _version_that_does_not_serve(self) -> None:
        self._commit(
            "app/governance/identity/authenticator.py", 'headers.get("authorization", "")', 'headers.get("other", "")'
        )
        started = time.monotonic()
        self._expect(
            self._deploy_sh("deploy") == 1, "the deployment of version 4, which starts but fails the smoke test, fails"
        )
        self._report("version 4: built, deployed, tested, rolled back", started)
        seconds = self._seconds_after_build()
        self._expect("chat call: status 401" in self._printed[-1], "the failed check is printed")
        self._expect("the previous version is running again" in self._printed[-1], "the state is printed")
        self._expect(seconds < SELF_ROLLBACK_SECONDS, f"it was undone {seconds:.0f} s after its image was there")
        self._revert()

    def _manual_rollback(self) -> None:
        started = time.monotonic()
        self._expect(self._deploy_sh("rollback") == 0, "a manual rollback is deployed")
        self._report("manual rollback", started)
        self._expect(not self._version().startswith("2.0.0-"), "version 1 responds again")

    def _promotion(self) -> None:
        digest = self._image().partition("@")[2]
        image = f"{self._first_repository()}@{digest}"
        untrusted = f"127.0.0.1/anybody@{digest}"
        ended = self._deploy_sh("deploy", "--image", untrusted, environment=self._promoted)
        self._expect(
            ended == 1 and "does not trust" in self._printed[-1], "an image from an untrusted repository is refused"
        )
        started = time.monotonic()
        ended = self._deploy_sh("deploy", "--image", image, environment=self._promoted)
        self._expect(ended == 0, "an image is promoted to another environment")
        self._report("promotion", started)
        self._expect(f"outcrop-{PROMOTED}@{digest}" in self._printed[-1], "with the same digest")

    def _first_repository(self) -> str:
        """Return the repository of the first environment, as the second one names it."""
        return f"{self._cloud.endpoint.removeprefix('http://')}/{STACK}"

    def _image(self) -> str:
        (stack,) = self._cloud.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return next(each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "Image")

    def _check_that_no_secret_was_printed(self) -> None:
        text = "".join(self._printed)
        secret_names = ("api-keys", "smoke-api-key", "admin-keys", "key-pepper")
        hidden = [*[self._secret(name) for name in secret_names], "ministack-auth-token"]
        self._expect(not any(each in text for each in hidden), "no secret was printed")

    def _deploy_sh(self, command: str, *options: str, environment: Path | None = None) -> int:
        given = ["--environment", str(environment or self._environment), "--template", str(self._template), *options]
        ended = subprocess.run(
            ["./deploy.sh", command, *given],
            cwd=self._tree,
            env={**os.environ, **self._cloud.environment()},
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
            raise AssertionError(f"{name} no longer contains {old!r}")
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

    def _seconds_after_build(self) -> float:
        """Return how long the last command of deploy.sh took, from when the image was in the registry."""
        begun, ended = re.findall(r"^\[ *([0-9.]+) s\] (?:deploying |FAILED)", self._printed[-1], re.MULTILINE)
        return float(ended) - float(begun)

    @staticmethod
    def _report(step: str, started: float) -> None:
        print(f"{time.monotonic() - started:7.1f} s  {step}", flush=True)

    def _expect(self, holds: bool, message: str) -> None:
        print(f"           {'ok  ' if holds else 'FAIL'} {message}", flush=True)
        if not holds:
            self.failures.append(message)
            print("".join(f"             | {line}\n" for line in self._printed[-1].splitlines()[-40:]), flush=True)


def rehearsable_template(bedrock: str) -> dict[str, Any]:
    """Load service.yml without what ministack refuses, and configure the tasks for the embedded Bedrock."""
    template = load_template("service.yml")
    for name in NOT_EMULATED:
        del template["Resources"][name]
    service = template["Resources"]["Service"]
    service["DependsOn"] = [name for name in service["DependsOn"] if name not in NOT_EMULATED]
    settings = {
        # ministack sets AWS_ENDPOINT_URL to its own URL
        "AWS_ENDPOINT_URL_BEDROCK": bedrock,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    # ministack ignores ExcludePunctuation, and a comma would end a key
    for name in ("ApiKeys", "MetricsKey", "SmokeApiKey", "KeyPepper", "AdminKeys"):
        properties = template["Resources"][name]["Properties"]
        del properties["GenerateSecretString"]
        properties["SecretString"] = secrets.token_urlsafe(30)
    for definition in ("TaskDefinition", "MigrationTaskDefinition"):
        (container,) = template["Resources"][definition]["Properties"]["ContainerDefinitions"]
        container["Environment"] += [{"Name": name, "Value": value} for name, value in settings.items()]
    return template


def git(tree: Path, *arguments: str) -> None:
    """Run git in a tree, with a fixed author."""
    identity = ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost"]
    subprocess.run(["git", *identity, *arguments], cwd=tree, check=True, stdout=subprocess.DEVNULL)


def copy_tree(target: Path) -> None:
    """Copy this tree, with uncommitted changes, into a repository with one commit; .venv is linked."""
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
    """Run the rehearsal; return 1 if a check failed. The first argument is the image of the embedded Bedrock."""
    with tempfile.TemporaryDirectory(prefix="outcrop-rehearsal-") as name:
        folder = Path(name)
        tree = folder / "tree"
        copy_tree(tree)
        with running_cloud(sys.argv[1], folder) as cloud, running_database(bridge_address()) as database:
            rehearsal = Rehearsal(cloud, database, folder, tree)
            try:
                rehearsal.run()
            finally:
                if keep := os.environ.get("REHEARSAL_LOGS"):
                    for log in folder.glob("*.log"):
                        shutil.copy2(log, keep)
    return 1 if rehearsal.failures else 0


if __name__ == "__main__":
    sys.exit(main())
