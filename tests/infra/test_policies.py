"""Trust policies and least privilege in the templates, which no emulator checks."""

import re
from typing import Any

import pytest

from scripts.templates import load_template
from tests.infra.policies import Statement, statements

BOOTSTRAP = load_template("bootstrap.yml")
SERVICE = load_template("service.yml")
ALL = [*statements(BOOTSTRAP), *statements(SERVICE)]
DEPLOY = [each for each in statements(BOOTSTRAP) if each.owner == "DeployRole"]
STACK = [each for each in statements(BOOTSTRAP) if each.owner == "StackRole"]
BOUNDARY = [each for each in statements(BOOTSTRAP) if each.owner == "PermissionsBoundary"]
TASK = [each for each in statements(SERVICE) if each.owner == "TaskRole"]
EXECUTION = [each for each in statements(SERVICE) if each.owner == "ExecutionRole"]

# actions without a resource type (AWS Service Authorization Reference, 2026-11)
NO_RESOURCE_TYPE = {
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:DescribeScheduledActions",
    "bedrock:ListFoundationModels",
    "bedrock:ListInferenceProfiles",
    "ec2:DescribeAccountAttributes",
    "ec2:DescribeAddresses",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeIpamPools",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribePrefixLists",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroupRules",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
    "ecr:GetAuthorizationToken",
    "ecs:DeregisterTaskDefinition",
    "ecs:DescribeTaskDefinition",
    "elasticloadbalancing:DescribeCapacityReservation",
    "elasticloadbalancing:DescribeListenerAttributes",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancerAttributes",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "secretsmanager:GetRandomPassword",
}


def actions(group: list[Statement]) -> set[str]:
    """Return the allowed actions, without trust policies, which have a principal."""
    return {action for statement in group if statement.principal is None for action in statement.actions}


def trust(role: str, template: dict[str, Any]) -> dict[str, Any]:
    (statement,) = template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert isinstance(statement, dict)
    return statement


def test_deploy_role_trusts_one_repository_environment_and_audience() -> None:
    statement = trust("DeployRole", BOOTSTRAP)
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": {
                "Fn::Sub": "repo:${GitHubRepository}:environment:${Environment}"
            },
        }
    }
    provider = BOOTSTRAP["Resources"]["OidcProvider"]["Properties"]
    assert provider == {"Url": "https://token.actions.githubusercontent.com", "ClientIdList": ["sts.amazonaws.com"]}
    assert set(statement["Principal"]) == {"Federated"}


@pytest.mark.parametrize(
    ("repository", "fits"),
    [
        ("owner/name", True),
        ("owner@123/name.x_y@456", True),
        ("owner/*", False),
        ("*/name", False),
        ("owner/name:ref:refs/heads/main", False),
        ("owner/name?", False),
        ("owner", False),
        ("owner/name/more", False),
    ],
)
def test_repository_parameter_refuses_wildcards(repository: str, fits: bool) -> None:
    pattern = BOOTSTRAP["Parameters"]["GitHubRepository"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, repository)) is fits


@pytest.mark.parametrize("environment", ["production", "a*", "", "A", "a:b", "-a", "a-b", "a-"])
def test_environment_parameter_refuses_wildcards(environment: str) -> None:
    pattern = BOOTSTRAP["Parameters"]["Environment"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, environment)) is (environment == "production")


@pytest.mark.parametrize(
    ("role", "template", "service"),
    [
        ("StackRole", BOOTSTRAP, "cloudformation.amazonaws.com"),
        ("TaskRole", SERVICE, "ecs-tasks.amazonaws.com"),
        ("ExecutionRole", SERVICE, "ecs-tasks.amazonaws.com"),
    ],
)
def test_service_roles_trust_their_service_for_this_account_only(
    role: str, template: dict[str, Any], service: str
) -> None:
    statement = trust(role, template)
    assert statement["Principal"] == {"Service": service}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert "${AWS::AccountId}" in str(statement["Condition"]["ArnLike"]["aws:SourceArn"])


def test_statements_have_no_wildcard_actions_or_principals() -> None:
    assert len(ALL) > 30
    for statement in ALL:
        assert statement.raw["Effect"] == "Allow"
        assert not {"NotAction", "NotResource", "NotPrincipal"} & statement.raw.keys(), statement
        assert statement.actions
        for action in statement.actions:
            assert "*" not in action, statement
        assert statement.principal != "*"


def test_resource_wildcard_only_for_actions_without_a_resource_type() -> None:
    wide = [statement for statement in ALL if "*" in statement.resources]
    assert len(wide) == 5
    for statement in wide:
        assert statement.resources == ("*",)
        assert set(statement.actions) <= NO_RESOURCE_TYPE, statement
    narrow = {action for statement in ALL if "*" not in statement.resources for action in statement.actions}
    assert not narrow & NO_RESOURCE_TYPE


def test_resources_are_in_this_account() -> None:
    for statement in ALL:
        for resource in statement.resources:
            text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else ""
            if text and ":foundation-model/" not in text and ":hostedzone/" not in text:
                assert "${AWS::AccountId}" in text, statement


@pytest.mark.parametrize(
    ("group", "absent"),
    [
        (
            DEPLOY,
            [
                "cloudformation:DeleteStack",
                "cloudformation:UpdateStack",
                "cloudformation:CreateStack",
                "cloudformation:SetStackPolicy",
                "ecr:BatchDeleteImage",
                "ecr:DeleteRepository",
                "ecr:PutImageTagMutability",
                "ecr:SetRepositoryPolicy",
                "ecs:ExecuteCommand",
                "ecs:RegisterTaskDefinition",
                "ecs:RunTask",
                "ecs:UpdateService",
                "iam:CreateRole",
                "iam:PutRolePolicy",
                "logs:GetLogEvents",
                "secretsmanager:PutSecretValue",
                "sts:AssumeRole",
            ],
        ),
        (
            STACK,
            [
                "ecs:ExecuteCommand",
                "ecs:RunTask",
                "iam:AttachRolePolicy",
                "iam:CreateAccessKey",
                "iam:CreatePolicyVersion",
                "iam:CreateUser",
                "iam:DeleteRolePermissionsBoundary",
                "iam:SetDefaultPolicyVersion",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
            ],
        ),
        (TASK, ["ecr:GetAuthorizationToken", "logs:PutLogEvents", "secretsmanager:GetSecretValue", "sts:AssumeRole"]),
        (EXECUTION, ["bedrock:InvokeModel", "logs:CreateLogGroup"]),
    ],
    ids=["deploy", "stack", "task", "execution"],
)
def test_forbidden_actions_are_not_allowed(group: list[Statement], absent: list[str]) -> None:
    assert not actions(group) & set(absent)


def test_task_role_may_only_call_bedrock() -> None:
    permissions = [each for each in TASK if each.principal is None]
    assert {action.partition(":")[0] for action in actions(permissions)} == {"bedrock", "bedrock-mantle"}
    (mantle,) = [each for each in permissions if "bedrock-mantle:CreateInference" in each.actions]
    assert mantle.condition == {"StringEquals": {"bedrock-mantle:Model": {"Ref": "MantleModels"}}}
    calls = [each for each in permissions if "bedrock:InvokeModel" in each.actions]
    assert [each.resources for each in calls] == [({"Ref": "ModelArns"},), ({"Ref": "ProfileArns"},)]
    guarding = [each.resources for each in permissions if "bedrock:ApplyGuardrail" in each.actions]
    assert guarding == [({"Ref": "GuardrailArn"},), ({"Ref": "GuardrailProfileArns"},)]


def test_deploy_role_passes_only_the_stack_role_and_reads_one_secret() -> None:
    passing = [each for each in DEPLOY if "iam:PassRole" in each.actions]
    assert [(each.resources, each.condition) for each in passing] == [
        (
            ({"Fn::GetAtt": ["StackRole", "Arn"]},),
            {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
        )
    ]
    (reading,) = [each for each in DEPLOY if "secretsmanager:GetSecretValue" in each.actions]
    assert str(reading.resources[0]["Fn::Sub"]).endswith(":secret:outcrop-${Environment}/smoke-api-key-*")


def test_created_roles_need_the_permissions_boundary() -> None:
    writes = {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary", "iam:DeleteRolePolicy"}
    for statement in ALL:
        if writes & set(statement.actions):
            assert statement.condition == {"StringEquals": {"iam:PermissionsBoundary": {"Ref": "PermissionsBoundary"}}}
        if any(action.startswith("iam:") for action in statement.actions):
            for resource in statement.resources:
                named = str(resource)
                assert (
                    "StackRole" in named or "aws-service-role/" in named or named.endswith(("-task'}", "-execution'}"))
                )
    for name, resource in SERVICE["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            assert resource["Properties"]["PermissionsBoundary"] == {"Ref": "PermissionsBoundaryArn"}, name
        assert resource["Type"] not in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::User"), name


def test_permissions_boundary_covers_the_roles_and_excludes_iam() -> None:
    needed = {action for each in [*TASK, *EXECUTION] if each.principal is None for action in each.actions}
    assert needed <= actions(BOUNDARY)
    assert not any(action.startswith(("iam:", "sts:", "cloudformation:")) for action in actions(BOUNDARY))


def test_templates_create_no_iam_users_or_access_keys() -> None:
    for template in (BOOTSTRAP, SERVICE):
        types = {resource["Type"] for resource in template["Resources"].values()}
        assert not types & {"AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::IAM::Group"}
