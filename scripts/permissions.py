"""Checks that the stack role has the permissions that its resource types need: `python -m scripts.permissions SITE`.

The schema of a resource type, published by AWS, lists the permissions that its handlers may use. SITE is the
site-packages directory of an environment with cfn-lint, which contains the schemas.
"""

import json
import sys
from pathlib import Path
from typing import Any

from scripts.templates import load_template

# Permissions that handlers use only for properties that service.yml does not set, each with the property
NOT_NEEDED = {
    "application-autoscaling:DeleteScheduledAction": "ScheduledActions",
    "application-autoscaling:PutScheduledAction": "ScheduledActions",
    "cloudwatch:GetMetricData": "PredictiveScalingPolicyConfiguration",
    "cognito-idp:DescribeUserPoolClient": "an action that authenticates with Cognito",
    "ecs:PutAccountSetting": "account settings, which this stack does not have",
    "ecs:PutAccountSettingDefault": "account settings, which this stack does not have",
    "ecs:PutClusterCapacityProviders": "CapacityProviders",
    "elasticloadbalancing:DeregisterTargets": "Targets, which ECS registers",
    "elasticloadbalancing:ModifyCapacityReservation": "MinimumLoadBalancerCapacity",
    "elasticloadbalancing:ModifyIpPools": "Ipv4IpamPoolId",
    "elasticloadbalancing:RegisterTargets": "Targets, which ECS registers",
    "firehose:TagDeliveryStream": "log delivery",
    "kms:DescribeKey": "a customer-managed KMS key",
    "lambda:DeleteProvisionedConcurrencyConfig": "Lambda targets",
    "lambda:GetProvisionedConcurrencyConfig": "Lambda targets",
    "lambda:PutProvisionedConcurrencyConfig": "Lambda targets",
    "logs:AssociateKmsKey": "KmsKeyId",
    "logs:CreateLogDelivery": "log delivery",
    "logs:DeleteDataProtectionPolicy": "DataProtectionPolicy",
    "logs:DeleteIndexPolicy": "FieldIndexPolicies",
    "logs:DeleteResourcePolicy": "ResourcePolicyDocument",
    "logs:DisassociateKmsKey": "KmsKeyId",
    "logs:PutBearerTokenAuthentication": "BearerTokenAuthenticationEnabled",
    "logs:PutDataProtectionPolicy": "DataProtectionPolicy",
    "logs:PutIndexPolicy": "FieldIndexPolicies",
    "logs:PutLogGroupDeletionProtection": "DeletionProtectionEnabled",
    "logs:PutResourcePolicy": "ResourcePolicyDocument",
    "s3:REST.PUT.OBJECT": "log delivery",
    "secretsmanager:GetSecretValue": "drift detection of the secret value",
    "secretsmanager:RemoveRegionsFromReplication": "ReplicaRegions",
    "secretsmanager:ReplicateSecretToRegions": "ReplicaRegions",
    "vpc-lattice:CreateServiceNetworkVpcEndpointAssociation": "VPC Lattice endpoints",
    "vpc-lattice:DescribeServiceNetworkVpcEndpointAssociation": "VPC Lattice endpoints",
    "vpce:AllowMultiRegion": "ServiceRegion",
}

# Permissions that a service needs from its caller to call another service; no schema lists them. Evidence: the
# managed policy ElasticLoadBalancingFullAccess since 2024-10; CreateLoadBalancer is refused without the second
# (aws-load-balancer-controller#3917, automat-it/terraform-aws-eks-auxiliary#54)
INDIRECT = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"ec2:DescribeAddresses", "ec2:GetSecurityGroupsForVpc"},
}


def needed(site: Path) -> dict[str, set[str]]:
    """Return the permissions, direct and indirect, that each resource type of service.yml needs."""
    schemas = site / "cfnlint" / "data" / "schemas"
    index: dict[str, str] = json.loads((schemas / "providers" / "us-east-1.json").read_text())
    types = {each["Type"] for each in load_template("service.yml")["Resources"].values()}
    found = {}
    for kind in sorted(types & index.keys()):
        handlers = json.loads((schemas / "resources" / f"{index[kind]}.json").read_text()).get("handlers", {})
        used = [handlers.get(name, {}) for name in ("create", "read", "update", "delete")]
        named = {permission for handler in used for permission in handler.get("permissions", [])}
        found[kind] = named | INDIRECT.get(kind, set())
    return found


def allowed() -> set[str]:
    """Return the actions that the stack role is allowed, in lower case, because IAM ignores the case."""
    policies = load_template("bootstrap.yml")["Resources"]["StackRole"]["Properties"]["Policies"]
    statements: list[Any] = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
    actions = [statement["Action"] for statement in statements]
    return {each.lower() for action in actions for each in ([action] if isinstance(action, str) else action)}


def main() -> int:
    """Run the command line; return 1 if a permission is missing or an exception in NOT_NEEDED is obsolete."""
    wanted, granted = needed(Path(sys.argv[1])), allowed()
    missing = {kind: {each for each in names if each.lower() not in granted} for kind, names in wanted.items()}
    unexplained = {kind: sorted(names - NOT_NEEDED.keys()) for kind, names in missing.items()}
    for kind, names in unexplained.items():
        for name in names:
            sys.stdout.write(f"{kind} may need {name}: add it to StackRole in infra/bootstrap.yml, or to NOT_NEEDED\n")
    stale = NOT_NEEDED.keys() - {name for names in missing.values() for name in names}
    for name in sorted(stale):
        sys.stdout.write(f"{name} is needed by no resource type: remove it from NOT_NEEDED\n")
    return 1 if stale or any(unexplained.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
