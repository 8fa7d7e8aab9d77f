"""Deploy, roll back, tell how it stands."""

import os
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from scripts.deploy.clients import Clients
from scripts.deploy.environment import Environment
from scripts.deploy.image import Images
from scripts.deploy.progress import DeployError, Progress
from scripts.deploy.smoke import Smoke
from scripts.deploy.stack import Stack, StackState

TEMPLATE = Path("infra/service.yml")

# how a change that did not succeed can end
_FATES = {
    "": "the first deployment failed, and AWS removed what it had made",
    "DELETE_COMPLETE": "the first deployment failed, and AWS removed what it had made",
    "UPDATE_ROLLBACK_COMPLETE": "AWS rolled the change back: what ran before runs on",
}


class Deployment:
    """One environment, and what can be done with it.

    Args:
        template: the stack's template. patience: seconds that a change of the stack may take.
    """

    def __init__(
        self,
        environment: Environment,
        progress: Progress,
        clients: Clients,
        template: Path = TEMPLATE,
        patience: float = 3600,
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
            patience,
        )

    def check_account(self) -> None:
        """Ask AWS who this is.

        Raises:
            DeployError: it is another account than the environment's.
        """
        identity = self._clients("sts").get_caller_identity()
        self._progress.say(f"this is {identity['Arn']}, in {self._environment.region}")
        if identity["Account"] != self._environment.account:
            raise DeployError(
                f"these credentials belong to account {identity['Account']}, and {self._environment.name} lives in "
                f"{self._environment.account}",
                "take the credentials of that account (AWS_PROFILE), or another --environment",
            )

    def deploy(self, image: str, *, dry_run: bool) -> None:
        """Bring an image into service, or roll back.

        Args:
            image: REPOSITORY@sha256:DIGEST, or empty for one built from this tree.

        Raises:
            DeployError: it did not come into service; what ran before does, wherever anything did.
        """
        before = self._stack.settle(self._progress)
        images = Images(self._clients, self._environment, self._progress)
        if dry_run:
            self._show(before, images.expected(image) if image else images.built() or images.unknown())
            return
        wanted = images.take(image) if image else images.build()
        before = self._stack.settle(self._progress)  # to build takes minutes, in which somebody may have rolled back
        self._progress.say(f"deploying {wanted}")
        self._bring(before, wanted, _previous(before, wanted))
        _tell_github(wanted)

    def rollback(self, *, dry_run: bool) -> None:
        """Bring the image that ran before back into service.

        Raises:
            DeployError: there is none, or it did not come into service.
        """
        before = self._stack.settle(self._progress)
        image = before.parameters.get("PreviousImage", "")
        if not image:
            raise DeployError("nothing ran before", "deploy the image that you want: --image REPOSITORY@sha256:DIGEST")
        self._progress.say(f"rolling back to {image}")
        if dry_run:
            self._show(before, image)
            return
        self._bring(before, image, before.parameters["Image"])

    def status(self) -> None:
        """Tell how the environment stands.

        Raises:
            DeployError: it does not serve.
        """
        state = self._stack.look()
        if not state.exists:
            raise DeployError(f"there is no stack {self._environment.stack}", "./deploy.sh deploy makes it")
        say = self._progress.say
        say(f"stack    {self._environment.stack}: {state.status} {state.reason}".rstrip())
        say(f"image    {state.parameters.get('Image', '')}")
        say(f"previous {state.parameters.get('PreviousImage', '') or 'none'}")
        say(f"service  {self._stack.service()}")
        for line in self._stack.stopped_tasks():
            say(f"         {line}")
        say(f"url      {self._environment.url or state.outputs.get('Url', 'none yet')}")
        if fault := self._smoke(state):
            raise DeployError(f"it does not serve: {fault}", self._where_to_look())

    def _show(self, before: StackState, image: str) -> None:
        proposal = self._stack.propose(self._parameters(image, _previous(before, image)), new=not before.exists)
        self._progress.say(f"{len(proposal.changes)} changes, none of which is made:")
        for line in proposal.changes:
            self._progress.say(f"  {line}")
        if proposal.name:
            self._stack.forget(proposal)
        if not before.exists:
            self._progress.say(f"what stays is an empty stack {self._environment.stack} in REVIEW_IN_PROGRESS")

    def _bring(self, before: StackState, image: str, previous: str) -> None:
        template = self._stack.template() if before.exists else ""
        after, changed = self._change(before, self._parameters(image, previous))
        if changed and after.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            for line in self._stack.stopped_tasks():
                self._progress.say(f"  {line}")
            raise DeployError(_FATES.get(after.status, f"the stack is left at {after.status}"), self._where_to_look())
        fault = self._smoke(after)
        if not fault:
            self._progress.say(f"in service: {image}")
            return
        self._undo(before, template, fault, changed=changed)

    def _undo(self, before: StackState, template: str, fault: str, *, changed: bool) -> None:
        """Go back to exactly what ran before; where this run changed nothing, to the image before."""
        parameters = before.parameters
        if not changed:
            parameters = {**parameters, "Image": parameters.get("PreviousImage", ""), "PreviousImage": ""}
        if not before.exists or not parameters["Image"]:
            raise DeployError(f"it does not serve, and there is nothing to go back to: {fault}", self._where_to_look())
        self._progress.say(f"it does not serve ({fault}): rolling back to {parameters['Image']}")
        state, _ = self._change(before, parameters, template)
        again = self._smoke(state) if state.is_settled else state.status
        if again:
            raise DeployError(f"neither this nor what ran before serves: {again}", self._where_to_look())
        raise DeployError(f"it did not serve ({fault}); what ran before does again", self._where_to_look())

    def _change(self, before: StackState, parameters: dict[str, str], template: str = "") -> tuple[StackState, bool]:
        """The stack after the change, and whether there was anything to change."""
        proposal = self._stack.propose(parameters, new=not before.exists, template=template)
        if not proposal.name:
            self._progress.say("the stack is as asked for: nothing to change")
            return self._stack.look(), False
        self._progress.say(f"changing {self._environment.stack} ({len(proposal.changes)} changes)")
        return self._stack.execute(proposal, self._progress), True

    def _parameters(self, image: str, previous: str) -> dict[str, str]:
        return {**self._environment.parameters, "Image": image, "PreviousImage": previous}

    def _smoke(self, state: StackState) -> str:
        """What does not serve, or nothing. That the key cannot be read is a fault like any other."""
        url = self._environment.url or state.outputs.get("Url", "")
        if not url:
            return f"the stack has no address yet ({state.status})"
        self._progress.say(f"asking {url}")
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
    """What `rollback` would return to after this deployment."""
    running = before.parameters.get("Image", "")
    return before.parameters.get("PreviousImage", "") if running == image else running


def _tell_github(image: str) -> None:
    """Hand the image to the workflow's next job."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a") as file:
            file.write(f"image={image}\n")


def explain(error: ClientError) -> DeployError:
    """An error of AWS that no step expected."""
    details = error.response.get("Error", {})
    return DeployError(
        f"AWS refused {error.operation_name}: {details.get('Code', '')}: {details.get('Message', '')}",
        "AccessDenied: compare the role with infra/bootstrap.yml; ExpiredToken: log in again; otherwise try again",
    )
