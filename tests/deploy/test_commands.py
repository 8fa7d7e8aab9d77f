"""Decisions and messages of deploy.sh."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from scripts.deploy import smoke, stack
from scripts.deploy.commands import Deployment
from scripts.deploy.environment import Environment, load_environment
from scripts.deploy.image import BY_DIGEST, Images
from scripts.deploy.progress import DeployError, Progress
from scripts.deploy.smoke import Smoke
from tests.deploy.clouds import REPOSITORY, FakeCloud, refusal
from tests.servers import KEY, NOWHERE, emulator_app, gateway, http_reply, read_request, serving, upstream

pytestmark = pytest.mark.loopback

ROOT = Path(__file__).parents[2]
ONE, TWO, THREE = (f"{REPOSITORY}@sha256:{digit * 64}" for digit in "123")


class Gateway:
    """A gateway whose chat calls fail with the statuses in `faults`."""

    def __init__(self) -> None:
        self.faults: list[int] = []

        async def health(_: Any) -> JSONResponse:
            return JSONResponse({"status": "ok"})

        async def chat(_: Any) -> JSONResponse:
            status = self.faults.pop(0) if self.faults else 200
            answer = {"choices": [{"message": {"content": "hello"}}]}
            return JSONResponse(answer if status == 200 else {"error": "no"}, status)

        routes = [Route("/health", health), Route("/health/ready", health)]
        self.application = Starlette(routes=[*routes, Route("/v1/chat/completions", chat, methods=["POST"])])


@pytest.fixture
def fake_gateway() -> Iterator[tuple[Gateway, str]]:
    each = Gateway()
    with serving(each.application) as url:
        yield each, url


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "_POLL_SECONDS", 0.001)


def environment(**changes: Any) -> Environment:
    example = json.loads((ROOT / "infra/environments/example.json").read_text())
    return Environment.model_validate({**example, "name": "test", **changes})


class Terminal:
    def __init__(self, cloud: FakeCloud) -> None:
        self.out = io.StringIO()
        self.cloud = cloud
        cloud.digests |= {image.partition("@")[2] for image in (ONE, TWO, THREE)}

    def deployment(self, **parameters: str) -> Deployment:
        given = environment()
        given = given.model_copy(
            update={"parameters": {**given.parameters, "DeletionProtection": "false", **parameters}}
        )
        return Deployment(given, Progress(self.out), self.cloud, ROOT / "infra/service.yml", timeout=5)

    def deploy(self, image: str, *, dry_run: bool = False) -> None:
        self.deployment().deploy(image, dry_run=dry_run)

    @property
    def text(self) -> str:
        return self.out.getvalue()

    def images(self) -> list[tuple[str, str]]:
        """The last digit of Image and PreviousImage, of each change."""
        return [(each["Image"][-1], each["PreviousImage"][-1:]) for each in self.cloud.executed]


@pytest.fixture
def terminal(fake_gateway: tuple[Gateway, str]) -> Terminal:
    return Terminal(FakeCloud(fake_gateway[1]))


def test_deploy_and_rollback_set_the_current_and_previous_image(terminal: Terminal) -> None:
    terminal.deploy(ONE)
    terminal.deploy(TWO)
    terminal.deployment().rollback(dry_run=False)
    terminal.deployment().rollback(dry_run=False)
    assert terminal.images() == [("1", ""), ("2", "1"), ("1", "2"), ("2", "1")]
    first, second, *_ = terminal.cloud.proposals
    assert (first["ChangeSetType"], first["OnStackFailure"]) == ("CREATE", "DELETE")
    assert (second["ChangeSetType"], "OnStackFailure" in second) == ("UPDATE", False)
    assert first["Tags"] == [{"Key": "outcrop-stack", "Value": "outcrop-test"}]
    assert first["RoleARN"] == environment().stack_role


def test_deletion_protection_is_turned_on_after_the_first_deployment_works(terminal: Terminal) -> None:
    terminal.deployment(DeletionProtection="true").deploy(ONE, dry_run=False)
    terminal.deployment(DeletionProtection="true").deploy(TWO, dry_run=False)
    assert [each["DeletionProtection"] for each in terminal.cloud.executed] == ["false", "true", "true"]
    assert terminal.images() == [("1", ""), ("1", ""), ("2", "1")]


def test_first_deployment_that_fails_has_no_deletion_protection(
    terminal: Terminal, fake_gateway: tuple[Gateway, str]
) -> None:
    fake_gateway[0].faults = [401]
    with pytest.raises(DeployError, match="there is no previous version"):
        terminal.deployment(DeletionProtection="true").deploy(ONE, dry_run=False)
    assert [each["DeletionProtection"] for each in terminal.cloud.executed] == ["false"]


def test_failure_to_turn_on_deletion_protection_is_reported(terminal: Terminal) -> None:
    terminal.cloud.results = ["CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"]
    with pytest.raises(DeployError, match="the gateway works, but deletion protection is off"):
        terminal.deployment(DeletionProtection="true").deploy(ONE, dry_run=False)


def test_deploying_the_same_image_changes_nothing_and_tests_again(terminal: Terminal) -> None:
    terminal.deploy(ONE)
    terminal.deploy(ONE)
    assert len(terminal.cloud.executed) == 1
    assert terminal.text.count("ok   chat call") == 2
    assert "nothing to change" in terminal.text


def test_change_that_aws_rolls_back_is_explained(terminal: Terminal) -> None:
    terminal.deploy(ONE)
    terminal.cloud.results = ["UPDATE_ROLLBACK_COMPLETE"]
    with pytest.raises(DeployError, match="the previous version is running") as failure:
        terminal.deploy(TWO)
    assert "aws logs tail /outcrop/outcrop-test" in failure.value.remedy
    assert "Service: Circuit Breaker was triggered" in terminal.text
    assert "gateway exited with code 2" in terminal.text
    assert "old" not in terminal.text
    assert "replaced" not in terminal.text
    assert "migrated" not in terminal.text
    assert "a task stopped: stuck (m exited with code 3)" in terminal.text
    terminal.deploy(THREE)
    assert terminal.images()[-1] == ("3", "1")


def test_failed_first_deployment_is_deleted(terminal: Terminal) -> None:
    terminal.cloud.results = [""]
    with pytest.raises(DeployError, match="the first deployment failed, and AWS deleted its resources"):
        terminal.deploy(ONE)
    assert "Service: Circuit Breaker was triggered" in terminal.text


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"])
def test_stack_in_a_failed_state_is_not_reported_as_rolled_back(terminal: Terminal, status: str) -> None:
    terminal.deploy(ONE)
    terminal.cloud.results = [status]
    with pytest.raises(DeployError, match=f"the stack is in {status}"):
        terminal.deploy(TWO)


def test_rollback_restores_parameters_too(terminal: Terminal, fake_gateway: tuple[Gateway, str]) -> None:
    terminal.deploy(ONE)
    fake_gateway[0].faults = [404]
    with pytest.raises(DeployError, match="the smoke test failed"):
        terminal.deployment(BedrockModelId="no.such-model").deploy(ONE, dry_run=False)
    assert terminal.cloud.parameters["BedrockModelId"] == environment().parameters["BedrockModelId"]
    assert [each["BedrockModelId"] for each in terminal.cloud.executed][1] == "no.such-model"


def test_repeated_deployment_of_a_failing_image_rolls_back(
    terminal: Terminal, fake_gateway: tuple[Gateway, str]
) -> None:
    terminal.deploy(ONE)
    terminal.deploy(TWO)
    fake_gateway[0].faults = [401]
    with pytest.raises(DeployError, match="the previous version is running again"):
        terminal.deploy(TWO)
    assert terminal.images()[-1] == ("1", "")


@pytest.mark.parametrize(
    "fault", [refusal("AccessDeniedException", "no"), ConnectTimeoutError(endpoint_url="https://secretsmanager")]
)
def test_unreadable_api_key_fails_the_deployment(terminal: Terminal, fault: Exception) -> None:
    terminal.deploy(ONE)
    terminal.cloud.refuses["get_secret_value"] = fault
    with pytest.raises(DeployError, match="failed for this and for the previous version"):
        terminal.deploy(TWO)
    assert terminal.images()[-1] == ("1", "")


def test_failed_smoke_test_rolls_back(terminal: Terminal, fake_gateway: tuple[Gateway, str]) -> None:
    terminal.deploy(ONE)
    terminal.deploy(TWO)
    fake_gateway[0].faults = [401]
    with pytest.raises(
        DeployError, match=r"the smoke test failed .*status 401.*; the previous version is running again"
    ):
        terminal.deploy(THREE)
    assert terminal.images()[-2:] == [("3", "2"), ("2", "1")]


def test_failed_rollback_is_reported(terminal: Terminal, fake_gateway: tuple[Gateway, str]) -> None:
    fake_gateway[0].faults = [401]
    with pytest.raises(DeployError, match="there is no previous version"):
        terminal.deploy(ONE)
    fake_gateway[0].faults = [401, 401]
    with pytest.raises(DeployError, match="failed for this and for the previous version"):
        terminal.deploy(TWO)


def test_temporary_failure_is_retried(terminal: Terminal, fake_gateway: tuple[Gateway, str]) -> None:
    fake_gateway[0].faults = [503]
    terminal.deploy(ONE)
    assert "deployed and working" in terminal.text


def test_credentials_of_another_account_are_refused(fake_gateway: tuple[Gateway, str]) -> None:
    terminal = Terminal(FakeCloud(fake_gateway[1], account="999999999999"))
    with pytest.raises(
        DeployError, match="belong to account 999999999999, but environment test is in account 123456789012"
    ):
        terminal.deployment().check_account()


def test_dry_run_changes_nothing(terminal: Terminal) -> None:
    terminal.deploy("", dry_run=True)
    assert "1 changes, none of them made" in terminal.text
    assert "replaces it" in terminal.text
    terminal.deploy(ONE)
    terminal.deploy(TWO, dry_run=True)
    terminal.cloud.parameters = {**terminal.cloud.parameters, "PreviousImage": TWO}
    terminal.deployment().rollback(dry_run=True)
    assert terminal.images() == [("1", "")]
    assert terminal.cloud.discarded == 3


def test_rollback_without_a_previous_image_fails(terminal: Terminal) -> None:
    terminal.deploy(ONE)
    with pytest.raises(DeployError, match="there is no previous image"):
        terminal.deployment().rollback(dry_run=False)


def test_deploy_waits_for_a_running_change(terminal: Terminal) -> None:
    terminal.deploy(ONE)
    terminal.cloud.busy = 3
    terminal.deploy(TWO)
    assert "another change is running" in terminal.text
    assert terminal.images()[-1] == ("2", "1")


@pytest.mark.parametrize(
    ("status", "command"),
    [
        ("ROLLBACK_COMPLETE", "delete-stack"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("UPDATE_FAILED", "rollback-stack"),
        ("DELETE_FAILED", "describe-stack-events"),  # it may work
    ],
)
def test_stack_that_cannot_be_changed_is_reported_with_its_remedy(
    terminal: Terminal, status: str, command: str
) -> None:
    terminal.cloud.status = status
    with pytest.raises(DeployError, match=f"is in {status}: because") as failure:
        terminal.deploy(ONE)
    assert f"as an administrator: aws cloudformation {command} --stack-name arn:stack, then" in failure.value.remedy


@pytest.mark.parametrize("status", ["IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"])
def test_stack_after_an_import_can_be_changed(terminal: Terminal, status: str) -> None:
    terminal.deploy(ONE)
    terminal.cloud.status = status
    terminal.deploy(TWO)
    assert terminal.images()[-1] == ("2", "1")


def test_rollback_during_a_build_determines_the_previous_image(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.deploy(ONE)
    terminal.deploy(TWO)

    def build(_: Images) -> str:
        terminal.deployment().rollback(dry_run=False)
        return THREE

    monkeypatch.setattr(Images, "build", build)
    terminal.deployment().deploy("", dry_run=False)
    assert terminal.images()[-2:] == [("1", "2"), ("3", "1")]


def test_waiting_for_a_change_has_a_timeout(terminal: Terminal) -> None:
    terminal.deploy(ONE)
    terminal.cloud.busy = 10**9
    hasty = Deployment(environment(), Progress(terminal.out), terminal.cloud, ROOT / "infra/service.yml", timeout=0.05)
    with pytest.raises(DeployError, match="AWS continues it"):
        hasty.deploy(TWO, dry_run=False)


def test_errors_of_aws_are_reported(terminal: Terminal) -> None:
    terminal.cloud.refuses["create_change_set"] = refusal("ValidationError", "Parameters: [VpcId] must have values")
    with pytest.raises(DeployError, match="refuses the change: Parameters"):
        terminal.deploy(ONE)
    terminal.cloud.refuses["describe_images"] = refusal("RepositoryNotFoundException", "no")
    with pytest.raises(DeployError, match="there is no repository outcrop-test"):
        terminal.deploy(ONE)


@pytest.mark.parametrize("image", ["x:latest", f"{REPOSITORY}:1", f"{REPOSITORY}@sha256:12"])
def test_image_without_a_digest_is_refused(terminal: Terminal, image: str) -> None:
    assert not BY_DIGEST.fullmatch(image)
    with pytest.raises(DeployError, match="has no digest"):
        terminal.deploy(image)


def test_missing_image_is_refused(terminal: Terminal) -> None:
    with pytest.raises(DeployError, match="is not in the repository"):
        terminal.deploy(f"{REPOSITORY}@sha256:{'9' * 64}")


def test_status_reports_stack_service_and_smoke_test(terminal: Terminal, fake_gateway: tuple[Gateway, str]) -> None:
    with pytest.raises(DeployError, match="there is no stack outcrop-test"):
        terminal.deployment().status()
    terminal.deploy(ONE)
    outputs, terminal.cloud.outputs = terminal.cloud.outputs, {}
    with pytest.raises(DeployError, match="the stack has no address yet"):
        terminal.deployment().status()
    terminal.cloud.outputs = outputs
    terminal.deployment().status()
    assert "2 of 2 tasks run, deployment COMPLETED" in terminal.text
    assert f"image    {ONE}" in terminal.text
    fake_gateway[0].faults = [500]
    with pytest.raises(DeployError, match="the smoke test failed: chat call: status 500"):
        terminal.deployment().status()


def test_image_is_written_to_the_github_output(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    terminal.deploy(ONE)
    assert (tmp_path / "output").read_text() == f"image={ONE}\n"


def test_smoke_test_against_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(io.StringIO())
    with serving(emulator_app()) as bedrock, gateway(bedrock) as url:
        assert Smoke(url, KEY).run(progress) == ""
        assert "status 401" in Smoke(url, "wrong").run(progress)
        assert Smoke(url, f"{KEY}\n").run(progress) == ""
        assert "characters that a header cannot contain" in Smoke(url, f"{KEY}\nx").run(progress)
    assert "no response from" in Smoke(NOWHERE, KEY, timeout=0.1).run(progress)
    assert KEY not in progress._out.getvalue()  # type: ignore[attr-defined]


async def _cut(reader: Any, writer: Any) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()


def test_incomplete_response_fails_the_smoke_test() -> None:
    with upstream(_cut) as url:
        assert "IncompleteRead" in Smoke(url, KEY, timeout=0.1).run(Progress(io.StringIO()))


def test_invalid_response_fails_the_smoke_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Smoke, "_request", lambda *_: smoke.Answer(200, "<html>"))
    assert "an invalid response" in Smoke(NOWHERE, KEY).run(Progress(io.StringIO()))


def chat_reply(content: Any, finish: str = "stop", **more: Any) -> smoke.Answer:
    choice = {"message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}
    return smoke.Answer(200, json.dumps({"choices": [choice]}))


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (chat_reply("hello"), ""),
        (chat_reply("", reasoning_content="hm"), ""),
        (chat_reply("", "length"), ""),
        (chat_reply(""), "chat call: an empty response"),
        (smoke.Answer(429, "quota"), ""),
        (smoke.Answer(503, "no capacity"), "chat call: status 503: no capacity"),
    ],
)
def test_reasoning_only_and_throttled_responses_pass_the_smoke_test(
    monkeypatch: pytest.MonkeyPatch, answer: smoke.Answer, fault: str
) -> None:
    monkeypatch.setattr(
        Smoke, "_request", lambda _, method, *more: answer if method == "POST" else smoke.Answer(200, "")
    )
    assert Smoke(NOWHERE, KEY, timeout=0.1).run(Progress(io.StringIO())) == fault


def test_throttled_health_check_fails_the_smoke_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Smoke, "_request", lambda *_: smoke.Answer(429, "a firewall"))
    fault = Smoke(NOWHERE, KEY, timeout=0.1).run(Progress(io.StringIO()))
    assert fault == "health: status 429: a firewall"


def test_smoke_test_connects_via_the_load_balancer() -> None:
    heads = []

    async def handle(reader: Any, writer: Any) -> None:
        heads.append((await read_request(reader))[0])
        writer.write(http_reply(chat_reply("hello").body.encode()))
        await writer.drain()

    with upstream(handle) as url:
        port = url.rpartition(":")[2]
        assert Smoke(f"http://llm.example.com:{port}", KEY, via="127.0.0.1").run(Progress(io.StringIO())) == ""
    assert all(f"\r\nHost: llm.example.com:{port}\r\n".encode() in head for head in heads)


def test_image_tag_contains_the_architecture() -> None:
    environment = load_environment("infra/environments/example.json")
    other = environment.model_copy(update={"parameters": {**environment.parameters, "CpuArchitecture": "ARM64"}})
    names = {Images(None, each, Progress(io.StringIO()))._tag() for each in (environment, other)}
    assert {name.rpartition("-")[2] for name in names} == {"amd64", "arm64"}


def test_invalid_environment_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    example = json.loads((ROOT / "infra/environments/example.json").read_text())
    assert load_environment("example").stack == "outcrop-example"
    assert load_environment("example").platform == "linux/amd64"
    with pytest.raises(DeployError, match="no environment elsewhere"):
        load_environment("elsewhere")

    def fault(**changes: Any) -> str:
        path = tmp_path / "example.json"
        path.write_text(json.dumps({**example, **changes}))
        with pytest.raises(DeployError) as failure:
            load_environment(str(path))
        return str(failure.value)

    assert "account: String should match" in fault(account="12")
    assert "acount: Extra inputs" in fault(acount="123456789012")
    assert "its name is other, but the file is named example" in fault(name="other")
    assert "stack_role is not the ARN of a role" in fault(stack_role=example["stack_role"].replace(":role/", ":user/"))
    assert "stack_role is not the ARN of a role in this account" in fault(
        stack_role=example["stack_role"].replace("123456789012", "999999999999")
    )
    elsewhere = json.loads(json.dumps(example).replace("123456789012", "999999999999"))
    elsewhere["parameters"]["ProfileArns"] = example["parameters"]["ProfileArns"]
    assert "is invalid: ProfileArns still has the account of the example" in fault(**elsewhere)
    for idle in ("240", "3m"):
        parameters = {**example["parameters"], "IdleTimeout": idle}
        assert "KeepAliveTimeout must be a number greater" in fault(parameters=parameters)
    plain = {key: value for key, value in example["parameters"].items() if key != "CertificateArn"}
    assert "AllowedCidr must be one address with /32" in fault(parameters={**plain, "AllowedCidr": "10.0.0.0/8"})
    endpoints = fault(parameters={**example["parameters"], "CreateVpcEndpoints": "true"})
    assert "needs RouteTableIds" in endpoints
    assert "needs VpcCidr" in endpoints
    database = {**example["parameters"], "DatabaseUrl": "postgresql://postgres@host:5432/outcrop"}
    assert "must begin with postgresql://outcrop_example@" in fault(parameters=database)
    arm = {**example["parameters"], "CpuArchitecture": "ARM64"}
    assert environment(parameters=arm).platform == "linux/arm64"


def test_aws_token_is_sent_to_aws_registries_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"ghcr.io": {"auth": "mine"}}, "credsStore": "desktop"}')
    (tmp_path / "cli-plugins").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    cloud = FakeCloud("")
    images = Images(cloud, environment(), Progress(io.StringIO()))
    host = REPOSITORY.partition("/")[0]
    elsewhere = host.replace("us-east-1", "eu-west-1")
    with images._logged_in(host, elsewhere, "ghcr.io", "evil.example/1.dkr.ecr.us-east-1.amazonaws.com") as given:
        folder = Path(given["DOCKER_CONFIG"])
        config = json.loads((folder / "config.json").read_text())
        tokens = {host: {"auth": "token of us-east-1"}, elsewhere: {"auth": "token of eu-west-1"}}
        assert config == {"auths": {**tokens, "ghcr.io": {"auth": "mine"}}}
        assert (folder / "config.json").stat().st_mode & 0o777 == 0o600
        assert (folder / "cli-plugins").is_dir()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("interruption", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "AWS continues a change that has started"),
        (refusal("AccessDenied", "you may not"), 1, "AWS refused Operation: AccessDenied: you may not"),
        (FileNotFoundError("infra/none.yml"), 1, "infra/none.yml"),
    ],
)
def test_exit_code_and_message_of_each_failure(
    interruption: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from scripts.deploy import __main__ as program

    def stop(_: Deployment) -> None:
        raise interruption

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(Deployment, "check_account", stop)
    monkeypatch.setattr("sys.argv", ["deploy.sh", "status", "--environment", "example"])
    assert program.main() == code
    assert words.lower() in capsys.readouterr().out.lower()


def test_command_line_prints_what_to_do(tmp_path: Path) -> None:
    import subprocess
    import sys

    def run(*arguments: str) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "scripts.deploy", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=60,
        )
        return ended.returncode, ended.stdout + ended.stderr

    code, text = run("deploy", "--environment", "example")
    assert code == 1
    assert "FAILED: no response from AWS" in text
    assert "what to do: log in" in text
    assert run("undeploy", "--environment", "example")[0] == 2
