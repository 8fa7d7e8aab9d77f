"""The database of a stack: private, encrypted, protected, and reached only by IAM over verified TLS."""

import re
from pathlib import Path
from typing import Any

import pytest

from scripts.templates import load_template
from tests.infra.policies import evaluate

ROOT = Path(__file__).parents[2]
DATABASE = load_template("database.yml")
SERVICE = load_template("service.yml")
RESOURCES = DATABASE["Resources"]
CLUSTER, INSTANCE = (RESOURCES[name]["Properties"] for name in ("Cluster", "Instance"))
INSTANCES = {name: RESOURCES[name]["Properties"] for name in ("Writer", "Reader", "Instance")}


def default(name: str) -> Any:
    return DATABASE["Parameters"][name]["Default"]


@pytest.mark.parametrize("properties", [CLUSTER, INSTANCE], ids=["aurora", "rds"])
def test_it_is_encrypted_protected_and_backed_up(properties: dict[str, Any]) -> None:
    assert properties["StorageEncrypted"] is True
    assert properties["DeletionProtection"] == {"Ref": "DeletionProtection"}
    assert default("DeletionProtection") == "true"
    assert properties["BackupRetentionPeriod"] == {"Ref": "BackupDays"}
    assert default("BackupDays") >= 7
    assert default("Standby") == "true"


def test_a_deleted_database_leaves_a_snapshot() -> None:
    for name in ("Cluster", "Instance"):
        assert {RESOURCES[name][key] for key in ("DeletionPolicy", "UpdateReplacePolicy")} == {"Snapshot"}


@pytest.mark.parametrize("properties", INSTANCES.values(), ids=INSTANCES)
def test_it_has_no_public_address(properties: dict[str, Any]) -> None:
    assert properties["PubliclyAccessible"] is False


def test_only_the_group_of_the_clients_reaches_its_port() -> None:
    group = RESOURCES["DatabaseSecurityGroup"]["Properties"]
    (ingress,) = group["SecurityGroupIngress"]
    assert (ingress["FromPort"], ingress["ToPort"]) == (5432, 5432)
    assert ingress["SourceSecurityGroupId"] == {"Ref": "ClientSecurityGroup"}
    assert "CidrIp" not in ingress
    # an icmp type that does not exist, to no address: nothing may leave
    assert [(each["IpProtocol"], each["CidrIp"]) for each in group["SecurityGroupEgress"]] == [
        ("icmp", "255.255.255.255/32")
    ]
    assert CLUSTER["VpcSecurityGroupIds"] == INSTANCE["VPCSecurityGroups"] == [{"Ref": "DatabaseSecurityGroup"}]
    groups = SERVICE["Resources"]["Service"]["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert groups["SecurityGroups"] == [
        {"Ref": "TaskSecurityGroup"},
        {"Fn::If": ["HasDatabase", {"Ref": "DatabaseSecurityGroup"}, {"Ref": "AWS::NoValue"}]},
    ]


def test_it_refuses_connections_without_tls() -> None:
    for name in ("ClusterParameters", "InstanceParameters"):
        assert RESOURCES[name]["Properties"]["Parameters"] == {"rds.force_ssl": "1"}
    assert CLUSTER["DBClusterParameterGroupName"] == {"Ref": "ClusterParameters"}
    assert INSTANCE["DBParameterGroupName"] == {"Ref": "InstanceParameters"}


def test_the_gateway_signs_in_by_iam_and_no_password_is_in_a_template() -> None:
    for properties in (CLUSTER, INSTANCE):
        assert properties["EnableIAMDatabaseAuthentication"] is True
        assert properties["ManageMasterUserPassword"] is True
        assert "MasterUserPassword" not in properties
    for definition in ("TaskDefinition", "MigrationTaskDefinition"):
        (container,) = SERVICE["Resources"][definition]["Properties"]["ContainerDefinitions"]
        assert "DATABASE_IAM_AUTH" in str(container["Environment"])
    pattern = SERVICE["Parameters"]["DatabaseUrl"]["AllowedPattern"]
    assert re.fullmatch(pattern, "")
    assert not re.fullmatch(pattern, "postgresql://user:password@host/name")


def test_its_url_is_accepted_by_the_service_and_names_the_user_of_the_task_role() -> None:
    text, _ = DATABASE["Outputs"]["DatabaseUrl"]["Value"]["Fn::Sub"]
    names = {"Environment": "staging", "Host": "x.cluster-1.us-east-1.rds.amazonaws.com"}
    url = evaluate({"Fn::Sub": text}, names)
    assert re.fullmatch(SERVICE["Parameters"]["DatabaseUrl"]["AllowedPattern"], url)
    assert url.startswith("postgresql://outcrop_staging@")


def test_its_outputs_are_parameters_of_the_service() -> None:
    given = {name for name in SERVICE["Parameters"] if name.startswith("Database")}
    assert given == {name for name in DATABASE["Outputs"] if name.startswith("Database")}
    for name in given:
        assert SERVICE["Parameters"][name]["Default"] == ""
        assert name in DATABASE["Outputs"][name]["Description"]


def test_the_volume_of_the_journal_is_the_one_that_the_image_owns() -> None:
    for definition in ("TaskDefinition", "MigrationTaskDefinition"):
        properties = SERVICE["Resources"][definition]["Properties"]
        (container,) = properties["ContainerDefinitions"]
        (mount,) = container["MountPoints"]
        assert properties["Volumes"] == [{"Name": mount["SourceVolume"]}]
        assert {"Name": "DATA_DIR", "Value": mount["ContainerPath"]} in [
            each["Fn::If"][1] if "Fn::If" in each else each for each in container["Environment"]
        ]
        assert f"\nVOLUME {mount['ContainerPath']}\n" in (ROOT / "Dockerfile").read_text()


def test_the_pepper_survives_the_stack() -> None:
    for name in ("KeyPepper", "AdminKeys"):
        secret = SERVICE["Resources"][name]
        assert (secret["DeletionPolicy"], secret["Condition"]) == ("RetainExceptOnCreate", "HasDatabase")


def test_the_alarm_of_the_service_matches_the_log() -> None:
    pattern = SERVICE["Resources"]["DatabaseMetric"]["Properties"]["FilterPattern"]
    messages = re.findall(r'message = "([^"]+)"', pattern)
    sources = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    assert len(messages) == 5
    for message in messages:
        assert f'_log.error("{message}"' in sources, message
