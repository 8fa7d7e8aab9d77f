"""The CloudFormation stack of an environment: creates change sets, executes them, and reports why they fail.

The image of the task definition is a parameter of the stack. So a rollback is a deployment of the previous digest, and
CloudFormation rolls back a deployment that the circuit breaker of ECS stops.
"""

import datetime
import json
import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from scripts.deploy.progress import DeployError, Progress

# who started a task that migrates the database
MIGRATION = "deploy.sh"
_POLL_SECONDS = 2.0
_CHANGE_SET_SECONDS = 300.0
_SETTLED = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)
_REMEDIES = {
    "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
    "UPDATE_FAILED": "rollback-stack",
    # possible states after a failed first deployment
    "CREATE_FAILED": "delete-stack",
    "ROLLBACK_COMPLETE": "delete-stack",
    "ROLLBACK_FAILED": "delete-stack",
}
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class StackState:
    """The state of a stack."""

    status: str
    parameters: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    arn: str = ""

    @property
    def is_busy(self) -> bool:
        """True while a change is running."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def exists(self) -> bool:
        """True if the stack has resources. A change set that was never executed leaves an empty stack."""
        return self.status not in ("", "REVIEW_IN_PROGRESS", "DELETE_COMPLETE")

    @property
    def is_settled(self) -> bool:
        """True if the last change succeeded or was rolled back."""
        return self.status in _SETTLED


@dataclass(frozen=True)
class ChangeSet:
    """The changes, one line each. `name` is empty if there are none."""

    name: str
    changes: list[str]


class Stack:
    """One stack.

    Args:
        cloudformation, ecs: boto3 clients.
        name: name of the stack, the cluster and the service.
        template: text of the template.
        role: ARN of the role that CloudFormation assumes.
        tags: tags of the stack and its resources.
        timeout: maximum seconds for a change.
    """

    def __init__(
        self,
        cloudformation: Any,
        ecs: Any,
        name: str,
        template: str,
        role: str,
        tags: dict[str, str],
        timeout: float = 3600,
    ) -> None:
        self._cloudformation = cloudformation
        self._ecs = ecs
        self._name = name
        self._template = template
        self._role = role
        self._tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._timeout = timeout

    def look(self) -> StackState:
        """Return the state of the stack; the status is empty if there is none."""
        try:
            (found,) = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return StackState("")
            raise
        return StackState(
            found["StackStatus"],
            {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])},
            {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
            found.get("StackStatusReason", ""),
            found["StackId"],
        )

    def settle(self, progress: Progress) -> StackState:
        """Wait for the end of a running change, and return the state of the stack.

        Raises:
            DeployError: the stack is in a state that does not allow a change.
        """
        state = self.look()
        if state.is_busy:
            progress.say(f"another change is running ({state.status}): waiting for its end")
            state = self._wait(state.arn, progress, datetime.datetime.now(datetime.UTC))
        if state.exists and not state.is_settled:
            remedy = _REMEDIES.get(state.status, "describe-stack-events")
            raise DeployError(
                f"stack {self._name} is in {state.status}: {state.reason}",
                f"as an administrator: aws cloudformation {remedy} --stack-name {state.arn}, then try again",
            )
        return state

    def template(self) -> str:
        """Return the template of the stack. botocore parses a template that is JSON."""
        found = self._cloudformation.get_template(StackName=self._name, TemplateStage="Original")["TemplateBody"]
        return found if isinstance(found, str) else json.dumps(found)

    def propose(self, parameters: dict[str, str], *, new: bool, template: str = "") -> ChangeSet:
        """Create a change set without executing it. It is empty if the stack is up to date.

        Args:
            template: text of a template to use instead of the one of this object.

        Raises:
            DeployError: CloudFormation refuses the template or the parameters.
        """
        name = f"outcrop-{time.time_ns()}"
        options: dict[str, Any] = {"OnStackFailure": "DELETE"} if new else {}
        try:
            self._cloudformation.create_change_set(
                StackName=self._name,
                ChangeSetName=name,
                ChangeSetType="CREATE" if new else "UPDATE",
                TemplateBody=template or self._template,
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                Capabilities=["CAPABILITY_NAMED_IAM"],
                RoleARN=self._role,
                Tags=self._tags,
                **options,
            )
        except ClientError as error:
            raise DeployError(
                f"CloudFormation refuses the change: {_message(error)}",
                "correct the template or the parameters of the environment",
            ) from None
        deadline = time.monotonic() + _CHANGE_SET_SECONDS
        while time.monotonic() < deadline:
            found = self._cloudformation.describe_change_set(StackName=self._name, ChangeSetName=name)
            if found["Status"] == "CREATE_COMPLETE":
                return ChangeSet(name, [_line(each["ResourceChange"]) for each in found.get("Changes", [])])
            if found["Status"] == "FAILED":
                reason = found.get("StatusReason", "")
                self.discard(ChangeSet(name, []))
                if any(words in reason for words in _NO_CHANGES):
                    return ChangeSet("", [])
                raise DeployError(
                    f"the change set failed: {reason}", "correct the template or the parameters of the environment"
                )
            time.sleep(_POLL_SECONDS / 4)
        raise DeployError(f"CloudFormation did not finish the change set in {_CHANGE_SET_SECONDS:.0f} s", "try again")

    def discard(self, proposal: ChangeSet) -> None:
        """Delete a change set without executing it."""
        self._cloudformation.delete_change_set(StackName=self._name, ChangeSetName=proposal.name)

    def execute(self, proposal: ChangeSet, progress: Progress) -> StackState:
        """Execute a change set, print the events, and return the state of the stack at the end."""
        since = datetime.datetime.now(datetime.UTC)
        arn = self.look().arn
        self._cloudformation.execute_change_set(StackName=self._name, ChangeSetName=proposal.name)
        return self._wait(arn, progress, since)

    def stopped_tasks(self) -> list[str]:
        """Describe how recent tasks ended, except those that a deployment replaced and migrations that succeeded."""
        try:
            arns = self._ecs.list_tasks(cluster=self._name, desiredStatus="STOPPED")["taskArns"]
            tasks = self._ecs.describe_tasks(cluster=self._name, tasks=arns[:20])["tasks"] if arns else []
        except ClientError:
            return []
        lines = []
        for task in tasks:
            ended = all(each.get("exitCode") == 0 for each in task["containers"]) and task.get("startedBy") == MIGRATION
            if ended or task.get("stopCode") in ("ServiceSchedulerInitiated", "UserInitiated"):
                continue
            codes = ", ".join(
                f"{each['name']} exited with code {each['exitCode']}"
                for each in task.get("containers", [])
                if each.get("exitCode") is not None
            )
            lines.append(f"a task stopped: {task.get('stoppedReason', '')}{f' ({codes})' if codes else ''}")
        return sorted(set(lines))

    def service(self) -> str:
        """Describe the service in one line: the number of running tasks, and the state of its deployment."""
        try:
            (found,) = self._ecs.describe_services(cluster=self._name, services=[self._name])["services"]
        except (ClientError, ValueError):
            return "no service"
        states = [each.get("rolloutState", "") for each in found["deployments"] if each["status"] == "PRIMARY"]
        return f"{found['runningCount']} of {found['desiredCount']} tasks run, deployment {''.join(states)}"

    def _wait(self, arn: str, progress: Progress, since: datetime.datetime) -> StackState:
        """Wait for the end of the change. Events of a deleted stack are found by its ARN only."""
        deadline = time.monotonic() + self._timeout
        printed: set[str] = set()
        while time.monotonic() < deadline:
            state = self.look()
            for event in self._events(arn, since):
                if event["EventId"] not in printed:
                    printed.add(event["EventId"])
                    progress.say(_event_line(event))
            if not state.is_busy and state.status != "REVIEW_IN_PROGRESS":
                return state
            time.sleep(_POLL_SECONDS)
        raise DeployError(
            f"the change did not end within {self._timeout:.0f} s; AWS continues it",
            "see ./deploy.sh status; the next ./deploy.sh deploy waits for its end",
        )

    def _events(self, arn: str, since: datetime.datetime) -> list[dict[str, Any]]:
        """Return the events since a time, oldest first."""
        try:
            pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=arn)
            events = []
            for page in pages:
                recent = [
                    each for each in page["StackEvents"] if each["Timestamp"] >= since - datetime.timedelta(seconds=2)
                ]
                events += recent
                if len(recent) < len(page["StackEvents"]):
                    break
        except ClientError:
            return []
        return events[::-1]


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", error))


def _line(change: dict[str, Any]) -> str:
    replaces = "  replaces it" if change.get("Replacement") == "True" else ""
    return f"{change['Action']:<8} {change['ResourceType']:<46} {change['LogicalResourceId']}{replaces}"


def _event_line(event: dict[str, Any]) -> str:
    failed = event["ResourceStatus"].endswith("_FAILED")
    reason = f": {event.get('ResourceStatusReason', '')}" if failed else ""
    return f"  {event['ResourceStatus']:<34} {event['LogicalResourceId']}{reason}"
