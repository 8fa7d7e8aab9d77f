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
    "ec2:AssociateVerifiedAccessInstanceWebAcl": "Verified Access, not a load balancer",
    "ec2:DescribeVerifiedAccessInstanceWebAclAssociations": "Verified Access, not a load balancer",
    "ec2:DisassociateVerifiedAccessInstanceWebAcl": "Verified Access, not a load balancer",
    "ec2:GetVerifiedAccessInstanceWebAcl": "Verified Access, not a load balancer",
    "ecs:PutAccountSetting": "account settings, which this stack does not have",
    "ecs:PutAccountSettingDefault": "account settings, which this stack does not have",
    "ecs:PutClusterCapacityProviders": "CapacityProviders",
    "elasticloadbalancing:DeregisterTargets": "Targets, which ECS registers",
    "elasticloadbalancing:ModifyCapacityReservation": "MinimumLoadBalancerCapacity",
    "elasticloadbalancing:ModifyIpPools": "Ipv4IpamPoolId",
    "elasticloadbalancing:RegisterTargets": "Targets, which ECS registers",
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
    "s3:CreateBucketMetadataTableConfiguration": "MetadataTableConfiguration",
    "s3:DeleteBucketAnalyticsConfiguration": "AnalyticsConfigurations",
    "s3:DeleteBucketCors": "CorsConfiguration",
    "s3:DeleteBucketEncryption": "removing BucketEncryption",
    "s3:DeleteBucketLifecycle": "removing LifecycleConfiguration",
    "s3:DeleteBucketMetadataTableConfiguration": "MetadataTableConfiguration",
    "s3:DeleteBucketMetricsConfiguration": "MetricsConfigurations",
    "s3:DeleteBucketReplication": "ReplicationConfiguration",
    "s3:DeleteBucketWebsite": "WebsiteConfiguration",
    "s3:DeleteObject": "deleting logs, which expire",
    "s3:PutAccelerateConfiguration": "AccelerateConfiguration",
    "s3:PutAnalyticsConfiguration": "AnalyticsConfigurations",
    "s3:PutBucketAbac": "AbacStatus",
    "s3:PutBucketAcl": "AccessControl",
    "s3:PutBucketCORS": "CorsConfiguration",
    "s3:PutBucketLogging": "LoggingConfiguration",
    "s3:PutBucketNotification": "NotificationConfiguration",
    "s3:PutBucketObjectLockConfiguration": "ObjectLockConfiguration",
    "s3:PutBucketReplication": "ReplicationConfiguration",
    "s3:PutBucketVersioning": "VersioningConfiguration",
    "s3:PutBucketWebsite": "WebsiteConfiguration",
    "s3:PutIntelligentTieringConfiguration": "IntelligentTieringConfigurations",
    "s3:PutInventoryConfiguration": "InventoryConfigurations",
    "s3:PutMetricsConfiguration": "MetricsConfigurations",
    "s3:PutObjectAcl": "AccessControl",
    "s3:PutObjectLockConfiguration": "ObjectLockConfiguration",
    "s3:PutReplicationConfiguration": "ReplicationConfiguration",
    "s3:REST.PUT.OBJECT": "log delivery to a bucket by CloudWatch Logs",
    "s3:UpdateBucketMetadataAnnotationTableConfiguration": "MetadataConfiguration",
    "s3:UpdateBucketMetadataInventoryTableConfiguration": "MetadataConfiguration",
    "s3:UpdateBucketMetadataJournalTableConfiguration": "MetadataConfiguration",
    "secretsmanager:GetSecretValue": "drift detection of the secret value",
    "secretsmanager:RemoveRegionsFromReplication": "ReplicaRegions",
    "secretsmanager:ReplicateSecretToRegions": "ReplicaRegions",
    "wafv2:GetPermissionPolicy": "sharing rule groups",
    "wafv2:PutPermissionPolicy": "sharing rule groups",
}

# Services of which handlers use permissions only for what service.yml does not have
UNUSED_SERVICES = {
    "amplify": "a firewall for Amplify",
    "apigateway": "a firewall for API Gateway",
    "apprunner": "a firewall for App Runner",
    "appsync": "a firewall for AppSync",
    "bedrock-agentcore": "a firewall for AgentCore",
    "cognito-idp": "a firewall for Cognito, and an action that authenticates with it",
    "firehose": "log delivery",
    "kms": "a customer-managed KMS key",
    "lambda": "Lambda targets",
    "payments": "MonetizationConfig of a firewall",
    "s3tables": "MetadataTableConfiguration of a bucket",
    "vpc-lattice": "VPC Lattice endpoints",
    "vpce": "ServiceRegion of an endpoint",
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
    resources = load_template("bootstrap.yml")["Resources"]
    documents: list[Any] = [policy["PolicyDocument"] for policy in resources["StackRole"]["Properties"]["Policies"]]
    documents += [
        each["Properties"]["PolicyDocument"]
        for each in resources.values()
        if each["Type"] == "AWS::IAM::ManagedPolicy" and {"Ref": "StackRole"} in each["Properties"].get("Roles", [])
    ]
    statements: list[Any] = [statement for document in documents for statement in document["Statement"]]
    actions = [statement["Action"] for statement in statements]
    return {each.lower() for action in actions for each in ([action] if isinstance(action, str) else action)}


def main() -> int:
    """Run the command line; return 1 if a permission is missing or an exception is obsolete."""
    wanted, granted = needed(Path(sys.argv[1])), allowed()
    missing = {kind: {each for each in names if each.lower() not in granted} for kind, names in wanted.items()}
    unexplained = {
        kind: sorted(each for each in names - NOT_NEEDED.keys() if each.partition(":")[0] not in UNUSED_SERVICES)
        for kind, names in missing.items()
    }
    for kind, names in unexplained.items():
        for name in names:
            sys.stdout.write(f"{kind} may need {name}: add it to StackRole in infra/bootstrap.yml, or to NOT_NEEDED\n")
    all_missing = {name for names in missing.values() for name in names}
    stale = NOT_NEEDED.keys() - all_missing | UNUSED_SERVICES.keys() - {name.partition(":")[0] for name in all_missing}
    for name in sorted(stale):
        sys.stdout.write(f"{name} is needed by no resource type: remove it from scripts/permissions.py\n")
    return 1 if stale or any(unexplained.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
