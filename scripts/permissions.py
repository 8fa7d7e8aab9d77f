"""Checks that the stack role may do what AWS says its resource types need: `python -m scripts.permissions SITE`.

AWS publishes with each resource type which permissions its handlers may use; cfn-lint brings those schemas along.
"""

import json
import sys
from pathlib import Path
from typing import Any

from scripts.templates import load_template

# What handlers use for properties that service.yml does not have, each with the property
NOT_NEEDED = {
    "application-autoscaling:DeleteScheduledAction": "ScheduledActions",
    "application-autoscaling:PutScheduledAction": "ScheduledActions",
    "cloudwatch:GetMetricData": "PredictiveScalingPolicyConfiguration",
    "cognito-idp:DescribeUserPoolClient": "an action that authenticates with Cognito",
    "ecs:PutAccountSetting": "settings of the account, which are not this stack's",
    "ecs:PutAccountSettingDefault": "settings of the account, which are not this stack's",
    "ecs:PutClusterCapacityProviders": "CapacityProviders",
    "elasticloadbalancing:DeregisterTargets": "Targets, which ECS registers",
    "elasticloadbalancing:ModifyCapacityReservation": "MinimumLoadBalancerCapacity",
    "elasticloadbalancing:ModifyIpPools": "Ipv4IpamPoolId",
    "elasticloadbalancing:RegisterTargets": "Targets, which ECS registers",
    "firehose:TagDeliveryStream": "a delivery of logs",
    "iam:AttachRolePolicy": "ManagedPolicyArns, by which a role would outgrow its policies",
    "iam:DeleteRolePermissionsBoundary": "no boundary: none of the roles may ever be without",
    "iam:DetachRolePolicy": "ManagedPolicyArns",
    "kms:DescribeKey": "a KMS key of one's own",
    "lambda:DeleteProvisionedConcurrencyConfig": "targets that are functions",
    "lambda:GetProvisionedConcurrencyConfig": "targets that are functions",
    "lambda:PutProvisionedConcurrencyConfig": "targets that are functions",
    "logs:AssociateKmsKey": "KmsKeyId",
    "logs:CreateLogDelivery": "a delivery of logs",
    "logs:DeleteDataProtectionPolicy": "DataProtectionPolicy",
    "logs:DeleteIndexPolicy": "FieldIndexPolicies",
    "logs:DeleteResourcePolicy": "ResourcePolicyDocument",
    "logs:DisassociateKmsKey": "KmsKeyId",
    "logs:PutBearerTokenAuthentication": "BearerTokenAuthenticationEnabled",
    "logs:PutDataProtectionPolicy": "DataProtectionPolicy",
    "logs:PutIndexPolicy": "FieldIndexPolicies",
    "logs:PutLogGroupDeletionProtection": "DeletionProtectionEnabled",
    "logs:PutResourcePolicy": "ResourcePolicyDocument",
    "s3:REST.PUT.OBJECT": "a delivery of logs",
    "secretsmanager:GetSecretValue": "a look for drift in the value, which is nobody's business",
    "secretsmanager:RemoveRegionsFromReplication": "ReplicaRegions",
    "secretsmanager:ReplicateSecretToRegions": "ReplicaRegions",
    "vpc-lattice:CreateServiceNetworkVpcEndpointAssociation": "endpoints of VPC Lattice",
    "vpc-lattice:DescribeServiceNetworkVpcEndpointAssociation": "endpoints of VPC Lattice",
    "vpce:AllowMultiRegion": "ServiceRegion",
}

# What a service asks of another in its caller's name, which no handler tells. Evidence: the managed policy
# ElasticLoadBalancingFullAccess since 2024-10, and refusals of CreateLoadBalancer without the second
# (aws-load-balancer-controller#3917, automat-it/terraform-aws-eks-auxiliary#54)
BEHIND = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"ec2:DescribeAddresses", "ec2:GetSecurityGroupsForVpc"},
}


def needed(site: Path) -> dict[str, set[str]]:
    """For each resource type of service.yml, the permissions that its handlers name, and those behind them."""
    schemas = site / "cfnlint" / "data" / "schemas"
    index: dict[str, str] = json.loads((schemas / "providers" / "us-east-1.json").read_text())
    types = {each["Type"] for each in load_template("service.yml")["Resources"].values()}
    found = {}
    for kind in sorted(types & index.keys()):
        handlers = json.loads((schemas / "resources" / f"{index[kind]}.json").read_text()).get("handlers", {})
        used = [handlers.get(name, {}) for name in ("create", "read", "update", "delete")]
        named = {permission for handler in used for permission in handler.get("permissions", [])}
        found[kind] = named | BEHIND.get(kind, set())
    return found


def allowed() -> set[str]:
    """The actions that the stack role is allowed, in lower case, since IAM does not mind."""
    policies = load_template("bootstrap.yml")["Resources"]["StackRole"]["Properties"]["Policies"]
    statements: list[Any] = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
    actions = [statement["Action"] for statement in statements]
    return {each.lower() for action in actions for each in ([action] if isinstance(action, str) else action)}


def main() -> int:
    """Run the command line; returns 1 where a permission is missing, or an exception is not needed any more."""
    wanted, granted = needed(Path(sys.argv[1])), allowed()
    missing = {kind: {each for each in names if each.lower() not in granted} for kind, names in wanted.items()}
    unexplained = {kind: sorted(names - NOT_NEEDED.keys()) for kind, names in missing.items()}
    for kind, names in unexplained.items():
        for name in names:
            sys.stdout.write(f"{kind} may need {name}, which the stack role of infra/bootstrap.yml lacks\n")
    stale = NOT_NEEDED.keys() - {name for names in missing.values() for name in names}
    for name in sorted(stale):
        sys.stdout.write(f"{name} is an exception that nothing needs any more\n")
    return 1 if stale or any(unexplained.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
