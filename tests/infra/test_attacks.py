"""What a stolen deploy role, stack role or task role could do, by the policies of the templates.

Conditions are left out, so the policies allow at most what is computed here: the findings of the review in .github/SECURITY.md.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import pytest

from scripts.templates import load_template
from tests.infra.policies import Statement, evaluate, statements

BOOTSTRAP = load_template("bootstrap.yml")
ACCOUNT = "111122223333"
NAMES = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": ACCOUNT,
    "AWS::StackName": "outcrop-staging",
    "Environment": "staging",
    "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/outcrop-staging-task-boundary",
    "PromotesFromArn": f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/outcrop-test",
    "AWS::NoValue": "",
}
SECRETS = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:outcrop-staging"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/outcrop-staging"


def owned_by(*owners: str) -> list[Statement]:
    found = [each for each in statements(BOOTSTRAP) if each.owner in owners and each.principal is None]
    assert found
    return found


def arn(resource: Any) -> str:
    """Return a resource of a statement as IAM sees it."""
    if isinstance(resource, dict) and "Fn::GetAtt" in resource:
        properties = BOOTSTRAP["Resources"][resource["Fn::GetAtt"][0]]["Properties"]
        if "RoleName" in properties:
            return f"arn:aws:iam::{ACCOUNT}:role/{evaluate(properties['RoleName'], NAMES)}"
        return f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{evaluate(properties['RepositoryName'], NAMES)}"
    return str(evaluate(resource, NAMES))


def allows(policy: Iterable[Statement], action: str, resource: str) -> bool:
    """Tell whether a policy without its conditions allows an action on a resource."""
    return any(
        any(fnmatchcase(action.lower(), name.lower()) for name in each.actions)
        and any(fnmatchcase(resource, arn(pattern)) for pattern in each.resources)
        for each in policy
    )


DEPLOY = owned_by("DeployRole")
STACK = owned_by("StackRole", "StackProtectionPolicy")
BOUNDARY = owned_by("PermissionsBoundary")
EXECUTION = owned_by("ExecutionRole")
GROUPS = {"deploy": DEPLOY, "stack": STACK, "task": BOUNDARY}
KEYS = ("api-keys", "metrics-key", "admin-keys", "key-pepper", "database-ca")


def test_what_a_deployment_needs_is_allowed() -> None:
    assert allows(DEPLOY, "iam:PassRole", f"{ROLES}-stack")
    assert allows(DEPLOY, "ecs:RunTask", f"arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/outcrop-staging-migrate:7")
    assert allows(DEPLOY, "secretsmanager:GetSecretValue", f"{SECRETS}/smoke-api-key-AbCdEf")
    assert allows(STACK, "iam:PutRolePolicy", f"{ROLES}-ecs-task")
    assert allows(STACK, "secretsmanager:CreateSecret", f"{SECRETS}/key-pepper")
    assert allows(BOUNDARY, "rds-db:connect", f"arn:aws:rds-db:us-east-1:{ACCOUNT}:dbuser:cluster-X/outcrop_staging")
    assert all(allows(EXECUTION, "secretsmanager:GetSecretValue", f"{SECRETS}/{key}-AbCdEf") for key in KEYS)


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("role", ["ecs-task", "ecs-execution", "stack", "deploy"])
@pytest.mark.parametrize(
    "action",
    ["iam:UpdateAssumeRolePolicy", "iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "sts:AssumeRole"],
)
def test_no_role_opens_or_enlarges_a_role(group: list[Statement], role: str, action: str) -> None:
    assert not allows(group, action, f"{ROLES}-{role}")


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("action", ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"])
def test_no_role_reads_or_replaces_keys(group: list[Statement], key: str, action: str) -> None:
    assert not allows(group, action, f"{SECRETS}/{key}-AbCdEf")


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("rds:DeleteDBCluster", f"arn:aws:rds:us-east-1:{ACCOUNT}:cluster:outcrop-staging-database"),
        ("rds:ModifyDBCluster", f"arn:aws:rds:us-east-1:{ACCOUNT}:cluster:outcrop-staging-database"),
        ("rds-data:ExecuteStatement", f"arn:aws:rds:us-east-1:{ACCOUNT}:cluster:outcrop-staging-database"),
        ("rds-db:connect", f"arn:aws:rds-db:us-east-1:{ACCOUNT}:dbuser:cluster-X/postgres"),
        ("rds-db:connect", f"arn:aws:rds-db:us-east-1:{ACCOUNT}:dbuser:cluster-X/outcrop_production"),
        ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:rds!cluster-1-AbCdEf"),
        ("cloudformation:DeleteStack", f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/outcrop-staging-database/1"),
        ("cloudformation:CreateChangeSet", f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/outcrop-staging-database/1"),
        ("cloudformation:CreateChangeSet", f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/outcrop-staging-bootstrap/1"),
        ("ecs:RunTask", f"arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/outcrop-production-migrate:1"),
        ("ecr:PutImage", f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/outcrop-production"),
    ],
)  # fmt: skip
def test_no_role_reaches_the_database_or_another_environment(
    group: list[Statement], action: str, resource: str
) -> None:
    assert not allows(group, action, resource)


def test_a_deployed_image_may_do_nothing_else() -> None:
    for action in ("s3:GetObject", "kms:Decrypt", "ec2:CreateSecurityGroup", "iam:PassRole", "logs:GetLogEvents"):
        assert not allows(BOUNDARY, action, f"arn:aws:any:us-east-1:{ACCOUNT}:any")
