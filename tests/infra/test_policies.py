"""Trust policies and least privilege in the templates, which no emulator checks."""

import json
import re
from typing import Any

import pytest

from scripts.templates import FOLDER, load_template
from tests.infra.policies import Statement, evaluate, statements

BOOTSTRAP = load_template("bootstrap.yml")
SERVICE = load_template("service.yml")
DATABASE = load_template("database.yml")
ALL = [*statements(BOOTSTRAP), *statements(SERVICE), *statements(DATABASE)]
DEPLOY = [each for each in statements(BOOTSTRAP) if each.owner == "DeployRole"]
STACK = [each for each in statements(BOOTSTRAP) if each.owner in ("StackRole", "StackProtectionPolicy")]
BOUNDARY = [each for each in statements(BOOTSTRAP) if each.owner == "PermissionsBoundary"]
TASK = [each for each in statements(SERVICE) if each.owner == "TaskRolePolicy"]
EXECUTION = [each for each in statements(BOOTSTRAP) if each.owner == "ExecutionRole"]

# actions without a resource type (AWS Service Authorization Reference, 2026-11)
NO_RESOURCE_TYPE = {
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:DescribeScheduledActions",
    "bedrock:ListFoundationModels",
    "bedrock:ListInferenceProfiles",
    "cloudwatch:GetMetricStatistics",
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
    "inspector2:ListCoverage",
    "inspector2:ListFindings",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "secretsmanager:GetRandomPassword",
    "servicequotas:ListAWSDefaultServiceQuotas",
    "servicequotas:ListServiceQuotas",
}

QUOTA_READS = {
    "cloudwatch:GetMetricStatistics",
    "servicequotas:ListAWSDefaultServiceQuotas",
    "servicequotas:ListServiceQuotas",
}


def actions(group: list[Statement]) -> set[str]:
    """Return the allowed actions, without trust policies, which have a principal."""
    return {action for statement in group if statement.principal is None for action in statement.actions}


def trust(role: str, template: dict[str, Any]) -> dict[str, Any]:
    (statement,) = template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert isinstance(statement, dict)
    return statement


MAIN = "refs/heads/main"
CLAIMS = {
    "aud": "sts.amazonaws.com",
    "sub": "repo:owner/name:environment:production",
    "ref": MAIN,
    "job_workflow_ref": f"owner/name/.github/workflows/deploy.yml@{MAIN}",
}


def is_trusted(claims: dict[str, str], repository: str = "owner/name", branch: str = "main") -> bool:
    """Tell whether the trust policy of the deploy role accepts a token, as IAM evaluates StringEquals."""
    statement = trust("DeployRole", BOOTSTRAP)
    assert list(statement["Condition"]) == ["StringEquals"]
    parameters = {"GitHubRepository": repository, "Environment": "production", "Branch": branch}
    for key, wanted in evaluate(statement["Condition"]["StringEquals"], parameters).items():
        issuer, _, claim = key.rpartition(":")
        assert issuer == "token.actions.githubusercontent.com"
        if claims.get(claim) not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def test_deploy_role_trusts_the_workflows_of_one_branch_of_one_repository() -> None:
    statement = trust("DeployRole", BOOTSTRAP)
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert set(statement["Principal"]) == {"Federated"}
    provider = BOOTSTRAP["Resources"]["OidcProvider"]["Properties"]
    assert provider == {"Url": "https://token.actions.githubusercontent.com", "ClientIdList": ["sts.amazonaws.com"]}
    assert is_trusted(CLAIMS)
    assert is_trusted({**CLAIMS, "job_workflow_ref": f"owner/name/.github/workflows/rollback.yml@{MAIN}"})
    # the subject of a newer repository has ids, the name of its workflow has none
    assert is_trusted({**CLAIMS, "sub": "repo:owner@1/name@2:environment:production"}, "owner@1/name@2")


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("aud", "https://github.com/owner"),
        ("sub", "repo:other/name:environment:production"),
        ("sub", "repo:owner/name:environment:staging"),
        ("sub", f"repo:owner/name:ref:{MAIN}"),
        ("ref", "refs/heads/feature"),
        ("ref", "refs/pull/1/merge"),
        ("ref", "refs/tags/main"),
        ("job_workflow_ref", "owner/name/.github/workflows/deploy.yml@refs/heads/feature"),
        ("job_workflow_ref", f"owner/name/.github/workflows/ci.yml@{MAIN}"),
        ("job_workflow_ref", f"other/name/.github/workflows/deploy.yml@{MAIN}"),
    ],
)
def test_deploy_role_refuses_any_other_token(claim: str, value: str) -> None:
    assert not is_trusted({**CLAIMS, claim: value})
    assert not is_trusted({name: given for name, given in CLAIMS.items() if name != claim})


def test_trusted_workflows_exist_and_assume_the_role() -> None:
    condition = trust("DeployRole", BOOTSTRAP)["Condition"]["StringEquals"]
    parameters = {"GitHubRepository": "o/n", "Environment": "e", "Branch": "main"}
    trusted = evaluate(condition["token.actions.githubusercontent.com:job_workflow_ref"], parameters)
    folder = FOLDER.parent / ".github/workflows"
    assuming = {path.name for path in folder.glob("*.yml") if "DEPLOY_ROLE_ARN }}" in path.read_text()}
    assert {each.removeprefix("o/n/.github/workflows/").removesuffix(f"@{MAIN}") for each in trusted} == assuming


@pytest.mark.parametrize(("branch", "fits"), [("main", True), ("release/1.x", True), ("*", False), ("a?", False)])
def test_branch_parameter_refuses_wildcards(branch: str, fits: bool) -> None:
    assert bool(re.fullmatch(BOOTSTRAP["Parameters"]["Branch"]["AllowedPattern"], branch)) is fits


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
        ("TaskRole", BOOTSTRAP, "ecs-tasks.amazonaws.com"),
        ("ExecutionRole", BOOTSTRAP, "ecs-tasks.amazonaws.com"),
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
        if statement.raw["Effect"] == "Deny":
            continue
        assert not {"NotAction", "NotResource", "NotPrincipal"} & statement.raw.keys(), statement
        assert statement.actions
        for action in statement.actions:
            assert "*" not in action, statement
        assert statement.principal != "*"


def test_the_only_denial_is_of_access_without_tls_to_the_access_logs() -> None:
    (denial,) = [statement for statement in ALL if statement.raw["Effect"] == "Deny"]
    assert denial.owner == "AccessLogBucketPolicy"
    assert denial.condition == {"Bool": {"aws:SecureTransport": "false"}}
    assert {statement.raw["Effect"] for statement in ALL} == {"Allow", "Deny"}


def test_policies_are_within_the_size_limits_of_iam() -> None:
    parameters = {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-1", "AWS::AccountId": "1" * 12}
    parameters |= {"Environment": "e" * 20, "PermissionsBoundary": "p" * 80, "PromotesFromArn": "r" * 120}
    parameters |= {"AWS::NoValue": ""}
    for name, resource in BOOTSTRAP["Resources"].items():
        properties = resource["Properties"]
        inside = [each["PolicyDocument"] for each in properties.get("Policies", [])]
        documents = [properties["PolicyDocument"]] if "PolicyDocument" in properties else inside
        size = sum(len(json.dumps(evaluate(each, parameters), separators=(",", ":"))) for each in documents)
        assert size <= (10_240 if resource["Type"] == "AWS::IAM::Role" else 6_144), name


def test_resource_wildcard_only_for_actions_without_a_resource_type() -> None:
    wide = [statement for statement in ALL if "*" in statement.resources]
    assert len(wide) == 5  # of the deploy, stack, execution and task role, and of the boundary
    for statement in wide:
        assert statement.resources == ("*",)
        assert set(statement.actions) <= NO_RESOURCE_TYPE, statement
    narrow = {action for statement in ALL if "*" not in statement.resources for action in statement.actions}
    assert not narrow & NO_RESOURCE_TYPE


def test_resources_are_in_this_account() -> None:
    for statement in ALL:
        for resource in statement.resources:
            text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else ""
            text = text[0] if isinstance(text, list) else text
            if text.startswith("arn:") and ":foundation-model/" not in text and ":hostedzone/" not in text:
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
                "iam:CreateRole",
                "iam:CreateUser",
                "iam:DeleteRole",
                "iam:DeleteRolePermissionsBoundary",
                "iam:PutRolePermissionsBoundary",
                "iam:SetDefaultPolicyVersion",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole",
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


def test_task_role_calls_bedrock_and_its_database_only() -> None:
    """And reads the quotas of Bedrock, and what counts against them."""
    permissions = [each for each in TASK if each.principal is None]
    assert actions(permissions) >= QUOTA_READS
    others = actions(permissions) - QUOTA_READS
    assert {action.partition(":")[0] for action in others} == {"bedrock", "bedrock-mantle", "rds-db"}
    (database,) = [each for each in permissions if "rds-db" in str(each.actions)]
    assert database.actions == ("rds-db:connect",)
    names = {"AWS::StackName": "outcrop-staging", "DatabaseResourceId": "cluster-X", "Environment": "staging"}
    names |= {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "1" * 12}
    user = evaluate(database.resources[0], names)
    assert user == f"arn:aws:rds-db:us-east-1:{'1' * 12}:dbuser:cluster-X/outcrop_staging"
    (most,) = [each for each in BOUNDARY if "rds-db:connect" in each.actions]
    # no other user, of whichever database
    assert evaluate(most.resources[0], names) == user.replace("cluster-X", "*")
    (mantle,) = [each for each in permissions if "bedrock-mantle:CreateInference" in each.actions]
    assert mantle.condition == {"StringEquals": {"bedrock-mantle:Model": {"Ref": "MantleModels"}}}
    calls = [each for each in permissions if "bedrock:InvokeModel" in each.actions]
    assert [each.resources for each in calls] == [({"Ref": "ModelArns"},), ({"Ref": "ProfileArns"},)]
    guarding = [each.resources for each in permissions if "bedrock:ApplyGuardrail" in each.actions]
    assert guarding == [({"Ref": "GuardrailArn"},), ({"Ref": "GuardrailProfileArns"},)]


def test_deploy_role_passes_three_roles_and_reads_one_secret() -> None:
    passing = [each for each in DEPLOY if "iam:PassRole" in each.actions]
    stack, task, execution = ({"Fn::GetAtt": [role, "Arn"]} for role in ("StackRole", "TaskRole", "ExecutionRole"))
    assert [(each.resources, each.condition) for each in passing] == [
        ((stack,), {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}),
        ((task, execution), {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}),
    ]
    (reading,) = [each for each in DEPLOY if "secretsmanager:GetSecretValue" in each.actions]
    assert str(reading.resources[0]["Fn::Sub"]).endswith(":secret:outcrop-${Environment}/smoke-api-key-??????")


def test_deploy_role_runs_the_task_of_the_migration_and_no_other() -> None:
    (running,) = [each for each in DEPLOY if "ecs:RunTask" in each.actions]
    assert running.actions == ("ecs:RunTask",)
    (resource,) = running.resources
    assert resource["Fn::Sub"].endswith(":task-definition/outcrop-${Environment}-migrate:*")
    assert running.condition["ArnEquals"]["ecs:cluster"]["Fn::Sub"].endswith(":cluster/outcrop-${Environment}")
    family = SERVICE["Resources"]["MigrationTaskDefinition"]["Properties"]["Family"]
    assert family["Fn::Sub"] == "${AWS::StackName}-migrate"


def test_no_deployment_can_change_the_database() -> None:
    used = actions(DEPLOY) | actions(STACK)
    assert not [action for action in used if action.startswith(("rds:", "rds-data:", "kms:"))]
    # the stack role changes security groups only by this tag
    groups = [each for each in DATABASE["Resources"].values() if each["Type"] == "AWS::EC2::SecurityGroup"]
    assert len(groups) == 2
    assert not [each for each in groups if "Tags" in each["Properties"]]
    assert not {each["Type"] for each in SERVICE["Resources"].values()} & {
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
    }


def test_a_deployment_changes_one_policy_of_one_role_within_the_boundary() -> None:
    task, execution = ({"Fn::GetAtt": [role, "Arn"]} for role in ("TaskRole", "ExecutionRole"))
    boundary = {"StringEquals": {"iam:PermissionsBoundary": {"Ref": "PermissionsBoundary"}}}
    of_roles = [each for each in STACK if each.actions[0].startswith("iam:") and "LinkedRole" not in str(each.actions)]
    assert [(set(each.actions), each.resources, each.condition) for each in of_roles] == [
        ({"iam:PutRolePolicy", "iam:DeleteRolePolicy"}, (task,), boundary),
        ({"iam:GetRole", "iam:GetRolePolicy"}, (task, execution), {}),
        ({"iam:PassRole"}, (task, execution), {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}),
    ]
    assert BOOTSTRAP["Resources"]["TaskRole"]["Properties"]["PermissionsBoundary"] == {"Ref": "PermissionsBoundary"}
    assert "Policies" not in BOOTSTRAP["Resources"]["TaskRole"]["Properties"]
    for name, resource in SERVICE["Resources"].items():
        assert not resource["Type"].startswith("AWS::IAM::") or name == "TaskRolePolicy", name


def test_tasks_use_the_roles_of_bootstrap() -> None:
    names = {
        role: BOOTSTRAP["Resources"][role]["Properties"]["RoleName"]["Fn::Sub"]
        for role in ("TaskRole", "ExecutionRole")
    }
    definition = SERVICE["Resources"]["TaskDefinition"]["Properties"]
    policy = SERVICE["Resources"]["TaskRolePolicy"]["Properties"]
    for role, name in names.items():
        in_stack = name.replace("outcrop-${Environment}", "${AWS::StackName}")
        assert (
            definition[f"{role}Arn"]["Fn::Sub"] == f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{in_stack}"
        )
    assert policy["RoleName"]["Fn::Sub"] == names["TaskRole"].replace("outcrop-${Environment}", "${AWS::StackName}")
    assert "TaskRolePolicy" in SERVICE["Resources"]["Service"]["DependsOn"]


def test_permissions_boundary_covers_the_task_role_and_nothing_else() -> None:
    assert {action for each in TASK for action in each.actions} <= actions(BOUNDARY)
    others = actions(BOUNDARY) - QUOTA_READS
    assert {action.partition(":")[0] for action in others} == {"bedrock", "bedrock-mantle", "rds-db"}


def test_only_the_execution_role_reads_the_keys_and_only_those_of_the_container() -> None:
    readers = [each for each in ALL if "secretsmanager:GetSecretValue" in each.actions]
    assert {each.owner for each in readers} == {"DeployRole", "ExecutionRole"}
    (reading,) = [each for each in readers if each.owner == "ExecutionRole"]
    secrets = {
        str(resource["Properties"]["Name"]["Fn::Sub"]).partition("/")[2]
        for template in (SERVICE, DATABASE)
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::SecretsManager::Secret"
    }
    suffix = "-??????"  # the six characters that Secrets Manager appends
    assert {each["Fn::Sub"].rpartition("/")[2] for each in reading.resources} == {name + suffix for name in secrets}


def test_templates_create_no_iam_users_or_access_keys() -> None:
    for template in (BOOTSTRAP, SERVICE, DATABASE):
        types = {resource["Type"] for resource in template["Resources"].values()}
        assert not types & {"AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::IAM::Group"}
