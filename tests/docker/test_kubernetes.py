"""The manifest for Kubernetes agrees with the settings, the endpoints and the task definition of the stack."""

from pathlib import Path
from typing import Any

import yaml

from app.config.settings import Settings
from scripts.templates import load_template

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker/kubernetes.yaml").read_text()
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    (each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(TEXT)
}
GATEWAY = OBJECTS["Deployment", "outcrop"]["spec"]["template"]
MIGRATION = OBJECTS["Job", "outcrop-migrate"]["spec"]["template"]
CONFIGURATION = OBJECTS["ConfigMap", "outcrop"]["data"]


def container_of(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_settings_exist_and_secrets_are_in_the_secret() -> None:
    known = {name.upper() for name in Settings.model_fields}
    in_secret = {part.partition("=")[0] for part in TEXT.split("--from-literal=")[1:]}
    assert set(CONFIGURATION) | in_secret <= known
    assert {"API_KEYS", "KEY_PEPPER", "DATABASE_URL"} <= in_secret
    assert not set(CONFIGURATION) & in_secret
    required = {name.upper() for name, field in Settings.model_fields.items() if field.is_required()}
    assert required <= set(CONFIGURATION)


def test_containers_have_the_restrictions_of_the_stack() -> None:
    definitions = load_template("service.yml")["Resources"]
    for pod, definition in ((GATEWAY, "TaskDefinition"), (MIGRATION, "MigrationTaskDefinition")):
        (on_ecs,) = definitions[definition]["Properties"]["ContainerDefinitions"]
        container, spec = container_of(pod), pod["spec"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is on_ecs["ReadonlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"]["drop"] == on_ecs["LinuxParameters"]["Capabilities"]["Drop"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['fsGroup']}" == on_ecs["User"]
        assert container["volumeMounts"][0]["mountPath"] == CONFIGURATION["DATA_DIR"]
        assert container["image"].endswith("@sha256:DIGEST")
    assert container_of(MIGRATION)["args"] == ["migrate"]


def test_a_pod_ends_after_its_requests() -> None:
    container = container_of(GATEWAY)
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause + int(CONFIGURATION["SHUTDOWN_GRACE"]) < GATEWAY["spec"]["terminationGracePeriodSeconds"]
    assert OBJECTS["Deployment", "outcrop"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_probes_ask_for_liveness_and_names_fit_together() -> None:
    container = container_of(GATEWAY)
    for probe in ("livenessProbe", "startupProbe"):
        assert container[probe]["httpGet"]["path"] == "/health"
    service = OBJECTS["Service", "outcrop"]["spec"]
    assert service["selector"].items() <= GATEWAY["metadata"]["labels"].items()
    assert service["ports"][0]["targetPort"] in [each["name"] for each in container["ports"]]
    for pod in (GATEWAY, MIGRATION):
        assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in OBJECTS
