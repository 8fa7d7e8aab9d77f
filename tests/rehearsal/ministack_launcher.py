"""Starts ministack with five additions. Runs in .venv-ministack.

| ministack | this launcher |
|---|---|
| does not wait until a service is steady | waits, and fails the change if the circuit breaker stops the deployment |
| counts a task as healthy once its container runs | counts it once it passes the health check of the load balancer |
| does not pass secrets of a task definition to containers | passes them |
| has no scans of images | finds what the file SCAN_FINDINGS lists; without it, supports no image that is built from scratch |
| its load balancer sends requests to targets that do not listen | sends them to listening targets only |
"""

import contextlib
import json
import os
import random
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

from ministack.app import main
from ministack.services import alb, ecr, ecs
from ministack.services.cloudformation import provisioners, stacks

STEADY_SECONDS = 90.0
DEREGISTRATION_SECONDS = 1.0
HEALTH_CHECK_SECONDS = 0.2
# StopTimeout of the stack, within which a task posts its journal; ministack kills it after 5 s
STOP_SECONDS = 120


def pass_secrets() -> None:
    """Rename the members of `Secrets` as in the ECS API, so that ministack passes them to containers."""
    normalize = provisioners._normalize_container_defs

    def normalized(definitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = normalize(definitions)
        for definition in result:
            definition["secrets"] = [
                {key[0].lower() + key[1:]: value for key, value in secret.items()}
                for secret in definition.get("secrets", [])
            ]
        return result

    provisioners._normalize_container_defs = normalized


def wait_for_services() -> None:
    """Make a change of a service end with its deployment, and fail if that fails."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::ECS::Service"]
    create, update = handler["create"], handler["update"]

    def create_and_wait(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        made = create(logical_id, properties, stack)
        wait(made[0], properties)
        return made

    def update_and_wait(arn: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        made = update(arn, old, new, stack)
        wait(made[0], new)
        return made

    handler["create"], handler["update"] = create_and_wait, update_and_wait
    runs_on_worker_thread = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda kind: kind == "AWS::ECS::Service" or runs_on_worker_thread(kind)


def wait(arn: str, properties: dict[str, Any]) -> None:
    """Wait until the service runs only the requested task definition."""
    wanted = ecs._task_defs[ecs._resolve_td_key(properties["TaskDefinition"])]["taskDefinitionArn"]
    key = "/".join(arn.split("/")[-2:])
    deadline = time.monotonic() + STEADY_SECONDS
    while time.monotonic() < deadline:
        service = ecs._services[key]
        deployment = ecs._primary_deployment(service)
        if deployment["taskDefinition"] != wanted or deployment.get("rolloutState") == "FAILED":
            raise ValueError("ECS Deployment Circuit Breaker was triggered")
        if deployment.get("rolloutState") == "COMPLETED" and service["runningCount"] == service["desiredCount"]:
            return
        time.sleep(0.1)
    raise ValueError("the service did not become steady")


def check_health() -> None:
    """Count a task of a service as healthy only once it answers the health check. A deployment ends when all are."""
    record = ecs._record_service_task_healthy

    def record_once_healthy(key: str, task: dict[str, Any]) -> None:
        ports = [each["containerPort"] for each in ecs._services.get(key, {}).get("loadBalancers", [])]
        while ecs._task_is_active(task["taskArn"], task) and not all(is_healthy(task, port) for port in ports):
            time.sleep(HEALTH_CHECK_SECONDS)
        record(key, task)

    ecs._record_service_task_healthy = record_once_healthy


def is_healthy(task: dict[str, Any], port: int) -> bool:
    """Tell whether a task answers `GET /health` with 200."""
    try:
        with urllib.request.urlopen(f"http://{ecs._task_ip(task)}:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def scan_images() -> None:
    """Answer DescribeImageScanFindings with the findings of an enhanced scan in the file SCAN_FINDINGS."""
    handle = ecr.handle_request

    async def handle_with_scans(method: str, path: str, headers: Any, body: Any, query: Any) -> Any:
        if not headers.get("x-amz-target", "").endswith(".DescribeImageScanFindings"):
            return await handle(method, path, headers, body, query)
        return ecr.json_response(scan())

    ecr.handle_request = handle_with_scans


def scan() -> dict[str, Any]:
    file = Path(os.environ["SCAN_FINDINGS"])
    if not file.exists():
        return {"imageScanStatus": {"status": "UNSUPPORTED_IMAGE"}}
    findings = {"enhancedFindings": json.loads(file.read_text())}
    return {"imageScanStatus": {"status": "ACTIVE"}, "imageScanFindings": findings}


def balance_over_listeners() -> None:
    """Send requests to listening targets only, and let a removed target finish its requests before it is stopped."""

    class Chooser:
        def __getattr__(self, name: str) -> Any:
            return getattr(random, name)

        @staticmethod
        def choice(targets: list[dict[str, Any]]) -> dict[str, Any]:
            listening = [each for each in targets if listens(each)]
            return random.choice(listening or targets)

    alb.random = Chooser()
    remove = ecs._remove_docker_container

    def remove_later(client: Any, container: Any) -> None:
        time.sleep(DEREGISTRATION_SECONDS)
        with contextlib.suppress(Exception):  # it has ended
            found = client.containers.get(container) if isinstance(container, str) else container
            found.stop(timeout=STOP_SECONDS)
        remove(client, container)

    ecs._remove_docker_container = remove_later


def listens(target: dict[str, Any]) -> bool:
    """Tell whether a target accepts connections."""
    try:
        socket.create_connection((target["Id"], int(target["Port"])), timeout=0.5).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    pass_secrets()
    wait_for_services()
    check_health()
    balance_over_listeners()
    scan_images()
    main()
