"""Runs the migration of the database as a task of its own, with a new image, before that image serves.

The schema of a version also suits the version before it, so the running tasks go on with the migrated database.
"""

import time
from typing import Any

from scripts.deploy.progress import DeployError, Progress
from scripts.deploy.stack import MIGRATION

_POLL_SECONDS = 2.0
_STATE = "nothing else was changed, and the previous version is running"


class Migration:
    """The migration of one environment.

    Args:
        ecs: boto3 client.
        stack: name of the stack, the cluster and the service.
        timeout: maximum seconds for the task.
    """

    def __init__(self, ecs: Any, stack: str, remedy: str, timeout: float = 900) -> None:
        self._ecs = ecs
        self._stack = stack
        self._remedy = remedy
        self._timeout = timeout

    def run(self, task_definition: str, progress: Progress) -> None:
        """Run `outcrop migrate` in the network of the service, and wait for its end.

        Raises:
            DeployError: the task could not be started, failed, or did not end in time.
        """
        progress.say("migrating the database")
        (service,) = self._ecs.describe_services(cluster=self._stack, services=[self._stack])["services"]
        answer = self._ecs.run_task(
            cluster=self._stack,
            taskDefinition=task_definition,
            launchType="FARGATE",
            networkConfiguration=service["networkConfiguration"],
            startedBy=MIGRATION,
        )
        if not answer["tasks"]:
            reasons = ", ".join(each.get("reason", "") for each in answer.get("failures", []))
            raise self._failure(f"the task was not started ({reasons})")
        self._wait(answer["tasks"][0]["taskArn"])
        progress.say("the schema of the database suits the new image")

    def _wait(self, arn: str) -> None:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            (task,) = self._ecs.describe_tasks(cluster=self._stack, tasks=[arn])["tasks"]
            if task["lastStatus"] == "STOPPED":
                codes = [each.get("exitCode") for each in task["containers"]]
                if codes != [0]:
                    code = f"exit code {codes[0]}" if codes and codes[0] is not None else task.get("stoppedReason", "")
                    raise self._failure(code)
                return
            time.sleep(_POLL_SECONDS)
        raise self._failure(f"it runs for more than {self._timeout:.0f} s, and goes on")

    def _failure(self, reason: str) -> DeployError:
        return DeployError(f"the migration of the database failed: {reason}; {_STATE}", self._remedy)
