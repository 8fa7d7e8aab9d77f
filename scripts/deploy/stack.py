"""The stack of an environment: change sets, the wait for their end, and the reasons where they fail.

CloudFormation owns the task definition, whose image is a parameter by digest. So a rollback is a deployment of the
digest before, and a deployment that ECS's circuit breaker stops is rolled back by CloudFormation itself.
"""

import datetime
import json
import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from scripts.deploy.progress import DeployError, Progress

_POLL_SECONDS = 2.0
_CHANGE_SET_SECONDS = 300.0
_SETTLED = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)
_MENDS = {
    "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
    "UPDATE_FAILED": "rollback-stack",
    # what a first deployment that failed can leave
    "CREATE_FAILED": "delete-stack",
    "ROLLBACK_COMPLETE": "delete-stack",
    "ROLLBACK_FAILED": "delete-stack",
}
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class StackState:
    """A stack as it stands."""

    status: str
    parameters: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    arn: str = ""

    @property
    def is_busy(self) -> bool:
        """True while CloudFormation works on it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def exists(self) -> bool:
        """True when it has resources; a change set that was never executed leaves a stack without any."""
        return self.status not in ("", "REVIEW_IN_PROGRESS", "DELETE_COMPLETE")

    @property
    def is_settled(self) -> bool:
        """True when the last change succeeded, or was rolled back to what ran before."""
        return self.status in _SETTLED


@dataclass(frozen=True)
class ChangeSet:
    """What would change, one line each. `name` is empty where nothing would."""

    name: str
    changes: list[str]


class Stack:
    """One stack.

    Args:
        cloudformation, ecs: boto3 clients. name: the stack's, the cluster's and the service's.
        template: its text. role: what CloudFormation takes. tags: on the stack and on all that it makes.
        patience: seconds that one change may take.
    """

    def __init__(
        self,
        cloudformation: Any,
        ecs: Any,
        name: str,
        template: str,
        role: str,
        tags: dict[str, str],
        patience: float = 3600,
    ) -> None:
        self._cloudformation = cloudformation
        self._ecs = ecs
        self._name = name
        self._template = template
        self._role = role
        self._tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._patience = patience

    def look(self) -> StackState:
        """The stack as it stands; an empty status if there is none."""
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
        """Wait for a change that is under way, and return the stack as it then stands.

        Raises:
            DeployError: it stands in a way from which no change can be made.
        """
        state = self.look()
        if state.is_busy:
            progress.say(f"another change is under way ({state.status}): waiting for its end")
            state = self._wait(state.arn, progress, datetime.datetime.now(datetime.UTC))
        if state.exists and not state.is_settled:
            mend = _MENDS.get(state.status, "describe-stack-events")
            raise DeployError(
                f"stack {self._name} stands at {state.status}: {state.reason}",
                f"as an administrator: aws cloudformation {mend} --stack-name {state.arn}, then try again",
            )
        return state

    def template(self) -> str:
        """The template that the stack was made by; botocore parses one that is JSON."""
        found = self._cloudformation.get_template(StackName=self._name, TemplateStage="Original")["TemplateBody"]
        return found if isinstance(found, str) else json.dumps(found)

    def propose(self, parameters: dict[str, str], *, new: bool, template: str = "") -> ChangeSet:
        """Make a change set, without executing it. It has no changes if the stack is as asked for.

        Args:
            template: another one than this stack's own.

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
                f"CloudFormation refuses the change: {_words(error)}",
                "mend the template or the environment's parameters",
            ) from None
        deadline = time.monotonic() + _CHANGE_SET_SECONDS
        while time.monotonic() < deadline:
            found = self._cloudformation.describe_change_set(StackName=self._name, ChangeSetName=name)
            if found["Status"] == "CREATE_COMPLETE":
                return ChangeSet(name, [_line(each["ResourceChange"]) for each in found.get("Changes", [])])
            if found["Status"] == "FAILED":
                reason = found.get("StatusReason", "")
                self.forget(ChangeSet(name, []))
                if any(words in reason for words in _NO_CHANGES):
                    return ChangeSet("", [])
                raise DeployError(f"the change set failed: {reason}", "mend the template or the parameters")
            time.sleep(_POLL_SECONDS / 4)
        raise DeployError(f"CloudFormation did not finish the change set in {_CHANGE_SET_SECONDS:.0f} s", "try again")

    def forget(self, proposal: ChangeSet) -> None:
        """Delete a change set that is not to be executed."""
        self._cloudformation.delete_change_set(StackName=self._name, ChangeSetName=proposal.name)

    def execute(self, proposal: ChangeSet, progress: Progress) -> StackState:
        """Execute a change set, print what happens, and return the stack as it stands at the end, whatever it is."""
        since = datetime.datetime.now(datetime.UTC)
        arn = self.look().arn
        self._cloudformation.execute_change_set(StackName=self._name, ChangeSetName=proposal.name)
        return self._wait(arn, progress, since)

    def stopped_tasks(self) -> list[str]:
        """How tasks ended that AWS still remembers, without those that a deployment replaced."""
        try:
            arns = self._ecs.list_tasks(cluster=self._name, desiredStatus="STOPPED")["taskArns"]
            tasks = self._ecs.describe_tasks(cluster=self._name, tasks=arns[:20])["tasks"] if arns else []
        except ClientError:
            return []
        lines = []
        for task in tasks:
            if task.get("stopCode") in ("ServiceSchedulerInitiated", "UserInitiated"):
                continue
            codes = ", ".join(
                f"{each['name']} ended with code {each['exitCode']}"
                for each in task.get("containers", [])
                if each.get("exitCode") is not None
            )
            lines.append(f"a task stopped: {task.get('stoppedReason', '')}{f' ({codes})' if codes else ''}")
        return sorted(set(lines))

    def service(self) -> str:
        """The service in one line: how many tasks run, and how its deployment stands."""
        try:
            (found,) = self._ecs.describe_services(cluster=self._name, services=[self._name])["services"]
        except (ClientError, ValueError):
            return "no service"
        states = [each.get("rolloutState", "") for each in found["deployments"] if each["status"] == "PRIMARY"]
        return f"{found['runningCount']} of {found['desiredCount']} tasks run, deployment {''.join(states)}"

    def _wait(self, arn: str, progress: Progress, since: datetime.datetime) -> StackState:
        """Wait until nothing happens any more. A stack that is deleted keeps its events under its ARN only."""
        deadline = time.monotonic() + self._patience
        told: set[str] = set()
        while time.monotonic() < deadline:
            state = self.look()
            for event in self._events(arn, since):
                if event["EventId"] not in told:
                    told.add(event["EventId"])
                    progress.say(_event_line(event))
            if not state.is_busy and state.status != "REVIEW_IN_PROGRESS":
                return state
            time.sleep(_POLL_SECONDS)
        raise DeployError(
            f"the change did not end within {self._patience:.0f} s; it goes on in AWS",
            "look at it: ./deploy.sh status; a later ./deploy.sh waits for its end",
        )

    def _events(self, arn: str, since: datetime.datetime) -> list[dict[str, Any]]:
        """The events since a moment, oldest first."""
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


def _words(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", error))


def _line(change: dict[str, Any]) -> str:
    replaces = "  replaces it" if change.get("Replacement") == "True" else ""
    return f"{change['Action']:<8} {change['ResourceType']:<46} {change['LogicalResourceId']}{replaces}"


def _event_line(event: dict[str, Any]) -> str:
    failed = event["ResourceStatus"].endswith("_FAILED")
    reason = f": {event.get('ResourceStatusReason', '')}" if failed else ""
    return f"  {event['ResourceStatus']:<34} {event['LogicalResourceId']}{reason}"
