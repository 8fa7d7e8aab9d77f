"""The templates agree with the code and the documents."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config.settings import Settings
from app.observability.load import Load
from app.server.client_address import TrustedProxies
from scripts.templates import FOLDER, load_template
from tests.infra.policies import evaluate

ROOT = FOLDER.parent
SERVICE = load_template("service.yml")
BOOTSTRAP = load_template("bootstrap.yml")
DATABASE = load_template("database.yml")
TEMPLATES = {"service": SERVICE, "bootstrap": BOOTSTRAP, "database": DATABASE}
PARAMETERS = SERVICE["Parameters"]
RESOURCES = SERVICE["Resources"]
(CONTAINER,) = RESOURCES["TaskDefinition"]["Properties"]["ContainerDefinitions"]
(MIGRATION,) = RESOURCES["MigrationTaskDefinition"]["Properties"]["ContainerDefinitions"]
EXAMPLE = json.loads((FOLDER / "environments/example.json").read_text())


def variables(entries: list[Any]) -> dict[str, Any]:
    """Return the variables of a container, with those of conditions, as values or as secrets."""
    found = [each["Fn::If"][1] if "Fn::If" in each else each for each in entries]
    return {each["Name"]: each.get("Value", each.get("ValueFrom")) for each in found}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_parameters_and_outputs_have_a_description(template: dict[str, Any]) -> None:
    for kind in ("Parameters", "Outputs"):
        for name, entry in template[kind].items():
            assert len(entry.get("Description", "")) > 10, name


@pytest.mark.parametrize("template", [SERVICE, DATABASE], ids=["service", "database"])
def test_every_parameter_is_in_a_parameter_group(template: dict[str, Any]) -> None:
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template["Parameters"])


def test_service_template_is_within_the_size_limit_of_a_request() -> None:
    assert len((FOLDER / "service.yml").read_bytes()) < 51_200


def test_templates_have_no_yaml_anchors() -> None:
    for path in FOLDER.glob("*.yml"):
        tokens = list(yaml.scan(path.read_text()))
        assert not [token for token in tokens if isinstance(token, yaml.AnchorToken | yaml.AliasToken)], path


def test_example_environment_has_the_required_parameters() -> None:
    required = {name for name, entry in PARAMETERS.items() if "Default" not in entry} - {"Image"}
    assert required <= set(EXAMPLE["parameters"]) <= set(PARAMETERS)
    for name, value in EXAMPLE["parameters"].items():
        if pattern := PARAMETERS[name].get("AllowedPattern"):
            assert re.fullmatch(pattern, value), name


def test_image_parameter_requires_a_digest() -> None:
    pattern = PARAMETERS["Image"]["AllowedPattern"]
    assert re.fullmatch(pattern, f"1.dkr.ecr.us-east-1.amazonaws.com/x@sha256:{'a' * 64}")
    for tag in ("x:latest", "x", f"x:1@sha256:{'a' * 63}", f"x y@sha256:{'a' * 64}"):
        assert not re.fullmatch(pattern, tag)


def test_timeouts_increase_from_bedrock_to_the_load_balancer() -> None:
    fields = Settings.model_fields
    assert fields["bedrock_read_timeout"].default < PARAMETERS["IdleTimeout"]["MinValue"]
    assert PARAMETERS["IdleTimeout"]["Default"] < PARAMETERS["KeepAliveTimeout"]["Default"]
    assert PARAMETERS["ShutdownGrace"]["MaxValue"] < CONTAINER["StopTimeout"] <= 120
    attributes = RESOURCES["LoadBalancer"]["Properties"]["LoadBalancerAttributes"]
    assert {"Key": "idle_timeout.timeout_seconds", "Value": {"Ref": "IdleTimeout"}} in attributes


def test_tasks_get_existing_settings_and_keys_as_secrets() -> None:
    known = {name.upper() for name in Settings.model_fields}
    keys = {"API_KEYS", "METRICS_KEY", "SMOKE_API_KEY", "ADMIN_KEYS", "KEY_PEPPER", "DATABASE_CA"}
    for container, secrets in ((CONTAINER, keys), (MIGRATION, {"KEY_PEPPER", "DATABASE_CA"})):
        plain, hidden = set(variables(container["Environment"])), set(variables(container["Secrets"]))
        assert plain | hidden <= known
        assert hidden == secrets
        assert not [name for name in plain if re.search("KEY$|KEYS|SECRET|TOKEN|PEPPER", name)]


def test_no_parameter_is_a_secret() -> None:
    for template in TEMPLATES.values():
        assert not [name for name, entry in template["Parameters"].items() if entry.get("NoEcho")]
        named = [name for name in template["Parameters"] if re.search("Secret|Password|Token|ApiKey", name)]
        # it is the ARN of one, and what that holds is public
        assert named in ([], ["DatabaseCaSecret"])


@pytest.mark.parametrize("container", [CONTAINER, MIGRATION], ids=["gateway", "migrate"])
def test_containers_have_the_restrictions_of_docker_check(container: dict[str, Any]) -> None:
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"] == "65532:65532"
    assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}


def test_health_check_needs_no_shell() -> None:
    assert CONTAINER["HealthCheck"]["Command"][0] == "CMD"


def test_service_has_the_deployment_circuit_breaker() -> None:
    configuration = RESOURCES["Service"]["Properties"]["DeploymentConfiguration"]
    assert configuration["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert (configuration["MinimumHealthyPercent"], configuration["MaximumPercent"]) == (100, 200)
    assert "DesiredCount" not in RESOURCES["Service"]["Properties"]


def test_security_groups_and_endpoints_have_the_stack_tag() -> None:
    tagged = {
        name for name, each in RESOURCES.items() if each["Type"] in ("AWS::EC2::SecurityGroup", "AWS::EC2::VPCEndpoint")
    }
    assert len(tagged) == 11
    for name in tagged:
        assert RESOURCES[name]["Properties"]["Tags"] == [{"Key": "outcrop-stack", "Value": {"Ref": "AWS::StackName"}}]


def test_failed_first_deployment_leaves_no_retained_resources() -> None:
    # that of database.yml is an administrator's, and leaves a snapshot
    for template in (SERVICE, BOOTSTRAP):
        for name, resource in template["Resources"].items():
            assert resource.get("DeletionPolicy") in (None, "RetainExceptOnCreate"), name


def test_service_waits_for_the_vpc_endpoints() -> None:
    endpoints = {name for name, each in RESOURCES.items() if each["Type"] == "AWS::EC2::VPCEndpoint"}
    named = RESOURCES["VpcEndpointsReady"]["Metadata"]["Endpoints"]["Fn::If"][1]
    # the endpoint of Mantle exists only if its models may be called
    assert {"Fn::If": ["HasMantle", {"Ref": "MantleEndpoint"}, {"Ref": "AWS::NoValue"}]} in named
    assert {each["Ref"] for each in named if "Ref" in each} | {"MantleEndpoint"} == endpoints
    assert "VpcEndpointsReady" in RESOURCES["Service"]["DependsOn"]


@pytest.mark.parametrize("cidr", ["203.0.113.7/32", "10.0.0.0/8", "0.0.0.0/0"])
def test_plain_http_is_open_to_one_address(cidr: str) -> None:
    (ingress,) = RESOURCES["LoadBalancerSecurityGroup"]["Properties"]["SecurityGroupIngress"]
    condition, with_certificate, without = ingress["CidrIp"]["Fn::If"]
    assert (condition, with_certificate) == ("HasCertificate", {"Ref": "AllowedCidr"})
    assert evaluate(without, {"AllowedCidr": cidr}) == f"{cidr.partition('/')[0]}/32"


def test_tls_policy_has_no_cbc_ciphers() -> None:
    condition, policy, _ = RESOURCES["Listener"]["Properties"]["SslPolicy"]["Fn::If"]
    assert condition == "HasCertificate"
    # of the policies of AWS with TLS 1.2, those with "Res" have ECDHE and GCM only
    assert re.fullmatch(r"ELBSecurityPolicy-TLS13-1-2-Res-(PQ-)?20\d\d-\d\d", policy)


def test_protection_is_on_by_default() -> None:
    for name in ("Firewall", "AccessLogs", "DeletionProtection"):
        assert PARAMETERS[name]["Default"] == "true", name
        assert EXAMPLE["parameters"].get(name, "true") == "true", name


def test_limits_by_address_see_the_client_and_not_the_load_balancer() -> None:
    environment = variables(CONTAINER["Environment"])
    assert environment["FORWARDED_ALLOW_IPS"] == {"Ref": "TrustedProxies"}
    trusted = PARAMETERS["TrustedProxies"]
    assert trusted["Default"] == "*"
    for text in ("*", "10.0.0.0/24,10.0.1.0/24", "10.0.0.0/16,2600:9000::/28"):
        assert re.fullmatch(trusted["AllowedPattern"], text)
        TrustedProxies(text)
    # else a client could send its own X-Forwarded-For past the load balancer
    (ingress,) = RESOURCES["TaskSecurityGroup"]["Properties"]["SecurityGroupIngress"]
    assert ingress["SourceSecurityGroupId"] == {"Ref": "LoadBalancerSecurityGroup"}
    assert "CidrIp" not in ingress
    attributes = RESOURCES["LoadBalancer"]["Properties"]["LoadBalancerAttributes"]
    assert not [each for each in attributes if "xff" in str(each)], "the load balancer appends, which is its default"


def test_firewall_limits_requests_per_address_and_inspects_nothing_else() -> None:
    acl, association = RESOURCES["WebAcl"], RESOURCES["WebAclAssociation"]
    assert {acl["Condition"], association["Condition"]} == {"HasFirewall"}
    assert association["Properties"] == {
        "ResourceArn": {"Ref": "LoadBalancer"},
        "WebACLArn": {"Fn::GetAtt": ["WebAcl", "Arn"]},
    }
    (rule,) = acl["Properties"]["Rules"]
    assert rule["Statement"] == {
        "RateBasedStatement": {
            "AggregateKeyType": "IP",
            "EvaluationWindowSec": 60,
            "Limit": {"Ref": "RequestsPerAddress"},
        }
    }
    blocked = rule["Action"]["Block"]["CustomResponse"]
    assert blocked["ResponseCode"] == 429
    assert "error" in json.loads(acl["Properties"]["CustomResponseBodies"]["TooManyRequests"]["Content"])


def test_load_balancer_writes_access_logs_and_cannot_be_deleted() -> None:
    attributes = RESOURCES["LoadBalancer"]["Properties"]["LoadBalancerAttributes"]
    assert {"Key": "deletion_protection.enabled", "Value": {"Ref": "DeletionProtection"}} in attributes
    assert {"Key": "access_logs.s3.enabled", "Value": {"Ref": "AccessLogs"}} in attributes
    bucket = {"Key": "access_logs.s3.bucket", "Value": {"Ref": "AccessLogBucket"}}
    assert {"Fn::If": ["HasAccessLogs", bucket, {"Ref": "AWS::NoValue"}]} in attributes
    # the load balancer tests the bucket, so the policy must be there first
    assert RESOURCES["LoadBalancer"]["DependsOn"] == "AccessLogsReady"
    ready = RESOURCES["AccessLogsReady"]["Metadata"]["BucketPolicy"]
    assert ready == {"Fn::If": ["HasAccessLogs", {"Ref": "AccessLogBucketPolicy"}, ""]}


def test_access_logs_are_private_encrypted_and_expire() -> None:
    bucket = RESOURCES["AccessLogBucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", {"Ref": "LogRetentionDays"})
    delivery, _ = RESOURCES["AccessLogBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert delivery["Principal"] == {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}
    assert delivery["Action"] == "s3:PutObject"
    assert delivery["Resource"]["Fn::Sub"] == "${AccessLogBucket.Arn}/AWSLogs/${AWS::AccountId}/*"


def test_bucket_name_is_the_one_that_the_stack_role_may_create_and_fits() -> None:
    parameters = {"AWS::AccountId": "1" * 12, "AWS::Region": "ap-southeast-1", "AWS::Partition": "aws"}
    parameters |= {"AWS::StackName": f"outcrop-{'e' * 20}", "Environment": "e" * 20}
    name = evaluate(RESOURCES["AccessLogBucket"]["Properties"]["BucketName"], parameters)
    assert len(name) <= 63
    policy = BOOTSTRAP["Resources"]["StackProtectionPolicy"]["Properties"]["PolicyDocument"]
    (buckets,) = [each for each in policy["Statement"] if each["Sid"] == "AccessLogs"]
    assert evaluate(buckets["Resource"], parameters) == f"arn:aws:s3:::{name}"
    assert "s3:GetObject" not in buckets["Action"]


def test_open_cidr_requires_https() -> None:
    pattern = PARAMETERS["AllowedCidr"]["AllowedPattern"]
    assert [cidr for cidr in ("0.0.0.0/0", "10.0.0.0/8", "1.2.3.4/32") if not re.fullmatch(pattern, cidr)] == []
    assert [cidr for cidr in ("1.2.3.4/0", "0.0.0.0/1", "::/0", "10.0.0.0/33") if re.fullmatch(pattern, cidr)] == []
    (assertion,) = SERVICE["Rules"]["PlainHttpIsForTrials"]["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AllowedCidr"}, "0.0.0.0/0"]}]}


def test_metric_filters_match_the_log(caplog: pytest.LogCaptureFixture) -> None:
    import asyncio
    import logging

    from app import errors

    async def one_line() -> None:
        task = asyncio.create_task(Load().report(0.001))
        while not caplog.records:
            await asyncio.sleep(0.001)
        task.cancel()

    with caplog.at_level(logging.INFO):
        asyncio.run(one_line())
    line = caplog.records[0]
    in_flight = RESOURCES["InFlightMetric"]["Properties"]
    assert in_flight["FilterPattern"] == f'{{ $.message = "{line.getMessage()}" }}'
    (transformation,) = in_flight["MetricTransformations"]
    assert transformation["MetricValue"].removeprefix("$.") in line.fields  # type: ignore[attr-defined]
    kinds = {getattr(value, "kind", "") for value in vars(errors).values()}
    for metric, named in (
        ("Throttle", {"rate_limited", "quota_exceeded"}),
        ("Refused", {"permission", "gateway_busy"}),
    ):
        pattern = RESOURCES[f"{metric}Metric"]["Properties"]["FilterPattern"]
        assert set(re.findall(r'error = "(\w+)"', pattern)) == named <= kinds


def test_every_alarm_is_in_the_runbook() -> None:
    document = (ROOT / "docs/operate/runbook.md").read_text()
    alarms = [
        (prefix, each["Properties"])
        for prefix, template in (("", SERVICE), ("database-", DATABASE))
        for each in template["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert len(alarms) == 12
    for prefix, alarm in alarms:
        name = alarm["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
        assert re.search(rf"^#+ Alarms? .*`{prefix}{name}`", document, re.MULTILINE), prefix + name


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_use_no_secrets_and_pin_actions_by_commit(path: Path) -> None:
    text = path.read_text()
    assert "secrets." not in text
    assert "AWS_ACCESS_KEY" not in text
    assert "\npermissions: {}\n" in text
    for used in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used) or used.startswith("$/"), used


def test_each_action_has_the_same_pin_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for action, pin in re.findall(r"uses: ([^@\s]+)@(.*)", path.read_text()):
            pins.setdefault(action, set()).add(pin)
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


def test_scripts_of_workflows_exist_and_are_executable() -> None:
    for path in WORKFLOWS:
        for script in re.findall(r"run: (?:sudo )?(\./\S+\.sh)", path.read_text()):
            assert (ROOT / script).stat().st_mode & 0o111, script
