"""Fake AWS services for tests of the decisions of deploy.sh. The rehearsal uses an emulator of the real APIs."""

import datetime
from typing import Any

from botocore.exceptions import ClientError

ACCOUNT = "123456789012"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/outcrop-test"


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class Registry:
    """The image registry of one region."""

    def __init__(self, region: str) -> None:
        self._region = region

    def get_authorization_token(self) -> Any:
        return {"authorizationData": [{"authorizationToken": f"token of {self._region}"}]}


class FakeCloud:
    """All services in one object.

    results: the stack status after each of the next changes; UPDATE_COMPLETE for all later ones.
    """

    def __init__(self, url: str, account: str = ACCOUNT) -> None:
        self.url = url
        self.account = account
        self.status = ""
        self.parameters: dict[str, str] = {}
        self.template = ""
        self.outputs = {"Url": url, "SmokeApiKeySecret": "arn:smoke", "MigrationTaskDefinition": "arn:migrate:7"}
        self.results: list[str] = []
        self.busy = 0
        self.digests: set[str] = set()
        # the answers to DescribeImageScanFindings, one after the other; the last one is repeated
        self.scans: list[Any] = [{"imageScanStatus": {"status": "COMPLETE"}}]
        self.proposals: list[dict[str, Any]] = []
        self.executed: list[dict[str, str]] = []
        self.discarded = 0
        # of the task that migrates: what describe_tasks answers about it, one after the other; what run_task was given
        self.migration: list[dict[str, Any]] = [{"lastStatus": "STOPPED", "containers": [{"exitCode": 0}]}]
        self.ran: list[dict[str, Any]] = []
        self.refuses: dict[str, Exception] = {}

    def __call__(self, service: str, region: str = "") -> Any:
        return Registry(region) if region else self

    def _raise_if_refused(self, operation: str) -> None:
        if operation in self.refuses:
            raise self.refuses[operation]

    def get_caller_identity(self) -> Any:
        self._raise_if_refused("get_caller_identity")
        return {"Account": self.account, "Arn": f"arn:aws:iam::{self.account}:role/me"}

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> Any:
        self._raise_if_refused("describe_images")
        (wanted,) = imageIds
        if wanted.get("imageDigest") not in self.digests:
            raise refusal("ImageNotFoundException", "no such image")
        return {"imageDetails": [{"imageDigest": wanted["imageDigest"]}]}

    def describe_image_scan_findings(self, repositoryName: str, imageId: dict[str, str], **following: str) -> Any:
        self._raise_if_refused("describe_image_scan_findings")
        assert repositoryName == "outcrop-test"
        assert imageId["imageDigest"].startswith("sha256:")
        answer = self.scans.pop(0) if len(self.scans) > 1 else self.scans[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def describe_stacks(self, StackName: str) -> Any:
        if not self.status:
            raise refusal("ValidationError", f"Stack with id {StackName} does not exist")
        status = "UPDATE_IN_PROGRESS" if self.busy else self.status
        self.busy = max(0, self.busy - 1)
        return {
            "Stacks": [
                {
                    "StackId": "arn:stack",
                    "StackStatus": status,
                    "StackStatusReason": "because",
                    "Parameters": [
                        {"ParameterKey": key, "ParameterValue": value} for key, value in self.parameters.items()
                    ],
                    "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs.items()],
                }
            ]
        }

    def create_change_set(self, **request: Any) -> Any:
        self._raise_if_refused("create_change_set")
        assert request["StackName"] == "outcrop-test"
        self.proposals.append(request)
        return {"Id": "arn:change-set"}

    def get_template(self, StackName: str, TemplateStage: str) -> Any:
        return {"TemplateBody": self.template}

    # named by stack and change set: the deploy role has permissions on the stack, not on ARNs of change sets
    def describe_change_set(self, StackName: str, ChangeSetName: str) -> Any:
        parameters, template = self._change_set(ChangeSetName)
        if self.status and (parameters, template) == (self.parameters, self.template):
            return {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes."}
        change = {"Action": "Modify", "ResourceType": "T", "LogicalResourceId": "Service", "Replacement": "True"}
        return {"Status": "CREATE_COMPLETE", "Changes": [{"ResourceChange": change}]}

    def delete_change_set(self, StackName: str, ChangeSetName: str) -> None:
        self.discarded += 1

    def execute_change_set(self, StackName: str, ChangeSetName: str) -> None:
        parameters, template = self._change_set(ChangeSetName)
        self.executed.append(parameters)
        result = self.results.pop(0) if self.results else "UPDATE_COMPLETE" if self.status else "CREATE_COMPLETE"
        self.status = result
        self.busy = 1 if result else 0
        if result in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            self.parameters, self.template = parameters, template

    def _change_set(self, name: str) -> tuple[dict[str, str], str]:
        (proposal,) = [each for each in self.proposals if each["ChangeSetName"] == name]
        parameters = {each["ParameterKey"]: each["ParameterValue"] for each in proposal["Parameters"]}
        return parameters, proposal["TemplateBody"]

    def get_paginator(self, _: str) -> "FakeCloud":
        return self

    def paginate(self, StackName: str) -> Any:
        now = datetime.datetime.now(datetime.UTC)
        event = {"EventId": "1", "Timestamp": now, "LogicalResourceId": "Service"}
        failed = {**event, "ResourceStatus": "UPDATE_FAILED", "ResourceStatusReason": "Circuit Breaker was triggered"}
        cancelled = {**failed, "EventId": "2", "ResourceStatusReason": "Resource update cancelled"}
        old = {**failed, "EventId": "3", "Timestamp": now - datetime.timedelta(hours=1), "ResourceStatusReason": "old"}
        return [{"StackEvents": [cancelled, failed, old]}]

    def list_tasks(self, **_: Any) -> Any:
        self._raise_if_refused("list_tasks")
        return {"taskArns": ["a"]}

    def run_task(self, **request: Any) -> Any:
        self.ran.append(
            {**request, "MigrationImage": self.parameters["MigrationImage"], "Image": self.parameters["Image"]}
        )
        if not self.migration:
            return {"tasks": [], "failures": [{"reason": "RESOURCE:ENI"}]}
        return {"tasks": [{"taskArn": "arn:migration"}], "failures": []}

    def describe_tasks(self, tasks: list[str], **_: Any) -> Any:
        if tasks == ["arn:migration"]:
            return {"tasks": [self.migration.pop(0) if len(self.migration) > 1 else self.migration[0]]}
        return {
            "tasks": [
                {
                    "stopCode": "EssentialContainerExited",
                    "stoppedReason": "Essential container in task exited",
                    "containers": [{"name": "gateway", "exitCode": 2}],
                },
                {"stopCode": "ServiceSchedulerInitiated", "stoppedReason": "replaced", "containers": []},
                {"startedBy": "deploy.sh", "stoppedReason": "migrated", "containers": [{"name": "m", "exitCode": 0}]},
                {"startedBy": "deploy.sh", "stoppedReason": "stuck", "containers": [{"name": "m", "exitCode": 3}]},
            ]
        }

    def describe_services(self, **_: Any) -> Any:
        deployments = [{"status": "PRIMARY", "rolloutState": "COMPLETED"}, {"status": "ACTIVE"}]
        network = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}
        service = {"runningCount": 2, "desiredCount": 2, "deployments": deployments, "networkConfiguration": network}
        return {"services": [service]}

    def get_secret_value(self, SecretId: str) -> Any:
        self._raise_if_refused("get_secret_value")
        assert SecretId == "arn:smoke"
        return {"SecretString": "test-key-of-24-letters"}
