"""The commands deploy, rollback and status."""

import os
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from scripts.deploy.attestation import required_repository
from scripts.deploy.clients import Clients
from scripts.deploy.environment import Environment
from scripts.deploy.image import Images
from scripts.deploy.migration import Migration
from scripts.deploy.progress import DeployError, Progress
from scripts.deploy.scan import Scan
from scripts.deploy.smoke import Smoke
from scripts.deploy.stack import Stack, StackState

TEMPLATE = Path("infra/service.yml")

# what a failed change leaves, by the status of the stack
_FAILURES = {
    "": "the first deployment failed, and AWS deleted its resources",
    "DELETE_COMPLETE": "the first deployment failed, and AWS deleted its resources",
    "UPDATE_ROLLBACK_COMPLETE": "AWS rolled the change back: the previous version is running",
}


class Deployment:
    """Deploys and rolls back one environment.

    Args:
        template: file of the stack template.
        timeout: maximum seconds for a change of the stack.
    """

    def __init__(
        self,
        environment: Environment,
        progress: Progress,
        clients: Clients,
        template: Path = TEMPLATE,
        timeout: float = 3600,
    ) -> None:
        self._environment = environment
        self._progress = progress
        self._clients = clients
        self._stack = Stack(
            clients("cloudformation"),
            clients("ecs"),
            environment.stack,
            template.read_text(),
            environment.stack_role,
            {"outcrop-stack": environment.stack},
            timeout,
        )

    def check_account(self) -> None:
        """Check that the credentials belong to the account of the environment.

        Raises:
            DeployError: they belong to another account.
        """
        identity = self._clients("sts").get_caller_identity()
        self._progress.say(f"using {identity['Arn']} in {self._environment.region}")
        if identity["Account"] != self._environment.account:
            raise DeployError(
                f"these credentials belong to account {identity['Account']}, but environment {self._environment.name} "
                f"is in account {self._environment.account}",
                "use credentials of that account (AWS_PROFILE), or another --environment",
            )

    def deploy(self, image: str, *, dry_run: bool) -> None:
        """Deploy an image; roll back if it does not work.

        Args:
            image: REPOSITORY@sha256:DIGEST, or empty to build one from this tree.

        Raises:
            DeployError: the deployment failed. The previous version, if any, is running.
        """
        before = self._stack.settle(self._progress)
        images = Images(self._clients, self._environment, self._progress)
        if dry_run:
            self._show(before, images.expected(image) if image else images.built() or images.placeholder())
            return
        if repository := required_repository(self._environment):
            wanted = images.take_attested(image, repository)
        else:
            wanted = images.take(image) if image else images.build()
        Scan(self._clients, self._environment, self._progress).check(wanted)
        before = self._stack.settle(self._progress)  # the stack may have changed during the build
        self._progress.say(f"deploying {wanted}")
        self._migrate(before, wanted)
        self._apply(before, wanted, _previous(before, wanted))
        _set_github_output(wanted)

    def build(self) -> None:
        """Build and push an image of this tree, unless it has been pushed.

        Raises:
            DeployError: a step failed.
        """
        image = Images(self._clients, self._environment, self._progress).build()
        self._progress.say(f"in the repository: {image}")
        _set_github_output(image)

    def verify(self, image: str, repository: str = "") -> None:
        """Verify the attestations of an image.

        Args:
            image: REPOSITORY@sha256:DIGEST.
            repository: OWNER/NAME on GitHub, if the environment does not name one.

        Raises:
            DeployError: an attestation is missing or invalid, or nobody says whose attestations are wanted.
        """
        wanted = required_repository(self._environment) or repository
        if not wanted:
            raise DeployError(
                f"the file of {self._environment.name} says that attestations come from none",
                "set attestations_from in the file, or use --attestations-from OWNER/NAME",
            )
        Images(self._clients, self._environment, self._progress).verify(image, wanted)
        self._progress.say(f"attested by {wanted}: {image}")

    def rollback(self, *, dry_run: bool) -> None:
        """Deploy the previous image again. Its attestations were verified when it was deployed first.

        Raises:
            DeployError: there is no previous image, or its deployment failed.
        """
        before = self._stack.settle(self._progress)
        image = before.parameters.get("PreviousImage", "")
        if not image:
            raise DeployError("there is no previous image", "deploy a known one: --image REPOSITORY@sha256:DIGEST")
        self._progress.say(f"rolling back to {image}")
        if dry_run:
            self._show(before, image)
            return
        self._apply(before, image, before.parameters["Image"])

    def status(self) -> None:
        """Print the state of the environment, and run the smoke test.

        Raises:
            DeployError: the environment does not exist or does not work.
        """
        state = self._stack.look()
        if not state.exists:
            raise DeployError(f"there is no stack {self._environment.stack}", "create it with ./deploy.sh deploy")
        say = self._progress.say
        say(f"stack    {self._environment.stack}: {state.status} {state.reason}".rstrip())
        say(f"image    {state.parameters.get('Image', '')}")
        say(f"previous {state.parameters.get('PreviousImage', '') or 'none'}")
        say(f"service  {self._stack.service()}")
        for line in self._stack.stopped_tasks():
            say(f"         {line}")
        say(f"url      {self._environment.url or state.outputs.get('Url', 'none yet')}")
        if fault := self._smoke(state):
            raise DeployError(f"the smoke test failed: {fault}", self._where_to_look())

    def _show(self, before: StackState, image: str) -> None:
        proposal = self._stack.propose(self._parameters(image, _previous(before, image)), new=not before.exists)
        self._progress.say(f"{len(proposal.changes)} changes, none of them made (--dry-run):")
        for line in proposal.changes:
            self._progress.say(f"  {line}")
        if proposal.name:
            self._stack.discard(proposal)
        if not before.exists:
            self._progress.say(f"an empty stack {self._environment.stack} remains in REVIEW_IN_PROGRESS")

    def _migrate(self, before: StackState, image: str) -> None:
        """Migrate the database of a running environment with an image that it has not run last.

        A new database is set up by the first task that starts. A rollback needs no migration.
        """
        parameters = before.parameters
        if not parameters.get("DatabaseUrl") or parameters["Image"] == image:
            return
        state, changed = self._change(before, {**parameters, "MigrationImage": image}, self._stack.template())
        if changed and state.status != "UPDATE_COMPLETE":
            raise DeployError(f"the stack is in {state.status}", self._where_to_look())
        remedy = (
            f"read the log: aws logs tail /outcrop/{self._environment.stack} --log-stream-name-prefix migrate/ "
            f"--since 15m --region {self._environment.region}; then docs/operate/database.md"
        )
        migration = Migration(self._clients("ecs"), self._environment.stack, remedy)
        migration.run(state.outputs["MigrationTaskDefinition"], self._progress)

    def _apply(self, before: StackState, image: str, previous: str) -> None:
        template = self._stack.template() if before.exists else ""
        parameters = self._parameters(image, previous)
        # AWS could not delete a protected load balancer if the first deployment failed
        first = parameters if before.exists else {**parameters, "DeletionProtection": "false"}
        after, changed = self._change(before, first)
        if changed and after.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            for line in self._stack.stopped_tasks():
                self._progress.say(f"  {line}")
            raise DeployError(_FAILURES.get(after.status, f"the stack is in {after.status}"), self._where_to_look())
        fault = self._smoke(after)
        if not fault:
            if first != parameters:
                self._protect(after, parameters)
            self._progress.say(f"deployed and working: {image}")
            return
        self._undo(before, template, fault, changed=changed)

    def _protect(self, state: StackState, parameters: dict[str, str]) -> None:
        """Turn on deletion protection, unless the environment turns it off."""
        self._progress.say("turning on deletion protection")
        after, _ = self._change(state, parameters)
        if not after.is_settled or after.status == "UPDATE_ROLLBACK_COMPLETE":
            raise DeployError(
                f"the gateway works, but deletion protection is off: the stack is in {after.status}",
                "deploy again; if that fails, read the events of the stack",
            )

    def _undo(self, before: StackState, template: str, fault: str, *, changed: bool) -> None:
        """Restore the previous parameters and template; if this run changed nothing, deploy the previous image."""
        parameters = before.parameters
        if not changed:
            parameters = {**parameters, "Image": parameters.get("PreviousImage", ""), "PreviousImage": ""}
        if not before.exists or not parameters["Image"]:
            raise DeployError(
                f"the smoke test failed, and there is no previous version: {fault}", self._where_to_look()
            )
        self._progress.say(f"the smoke test failed ({fault}): rolling back to {parameters['Image']}")
        state, _ = self._change(before, parameters, template)
        again = self._smoke(state) if state.is_settled else state.status
        if again:
            raise DeployError(
                f"the smoke test failed for this and for the previous version: {again}", self._where_to_look()
            )
        raise DeployError(
            f"the smoke test failed ({fault}); the previous version is running again", self._where_to_look()
        )

    def _change(self, before: StackState, parameters: dict[str, str], template: str = "") -> tuple[StackState, bool]:
        """Change the stack; return its state afterwards, and whether there was anything to change."""
        proposal = self._stack.propose(parameters, new=not before.exists, template=template)
        if not proposal.name:
            self._progress.say("the stack is up to date: nothing to change")
            return self._stack.look(), False
        self._progress.say(f"changing {self._environment.stack} ({len(proposal.changes)} changes)")
        return self._stack.execute(proposal, self._progress), True

    def _parameters(self, image: str, previous: str) -> dict[str, str]:
        return {**self._environment.parameters, "Image": image, "PreviousImage": previous, "MigrationImage": image}

    def _smoke(self, state: StackState) -> str:
        """Run the smoke test; return what failed, or an empty string. A key that cannot be read is a failure too."""
        url = self._environment.url or state.outputs.get("Url", "")
        if not url:
            return f"the stack has no address yet ({state.status})"
        self._progress.say(f"testing {url}")
        try:
            secret = self._clients("secretsmanager").get_secret_value(SecretId=state.outputs["SmokeApiKeySecret"])
        except (BotoCoreError, ClientError, KeyError) as error:
            return f"the key of the smoke test cannot be read ({type(error).__name__})"
        via = "" if self._environment.url else state.outputs.get("LoadBalancerName", "")
        return Smoke(url, secret["SecretString"], via).run(self._progress)

    def _where_to_look(self) -> str:
        return (
            f"read the log: aws logs tail /outcrop/{self._environment.stack} --since 15m --region "
            f"{self._environment.region}; then docs/operate/runbook.md"
        )


def _previous(before: StackState, image: str) -> str:
    """Return the image that `rollback` deploys after this deployment."""
    running = before.parameters.get("Image", "")
    return before.parameters.get("PreviousImage", "") if running == image else running


def _set_github_output(image: str) -> None:
    """Pass the image to the next job of the workflow."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a") as file:
            file.write(f"image={image}\n")


def explain(error: ClientError) -> DeployError:
    """Explain an error of AWS that no step handles."""
    details = error.response.get("Error", {})
    return DeployError(
        f"AWS refused {error.operation_name}: {details.get('Code', '')}: {details.get('Message', '')}",
        "AccessDenied: compare the role with infra/bootstrap.yml; ExpiredToken: log in again; otherwise: try again",
    )
