"""The database is migrated with a new image before that image serves."""

import pytest

from scripts.deploy import migration
from scripts.deploy.progress import DeployError
from tests.deploy.clouds import FakeCloud
from tests.deploy.test_commands import ONE, THREE, TWO, Gateway, Terminal, fake_gateway, hurry

__all__ = ["fake_gateway", "hurry"]

pytestmark = pytest.mark.loopback

DATABASE = {"DatabaseUrl": "postgresql://outcrop_test@host:5432/outcrop"}
RUNNING = {"lastStatus": "RUNNING", "containers": [{"name": "migrate"}]}


@pytest.fixture
def terminal(fake_gateway: tuple[Gateway, str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(migration, "_POLL_SECONDS", 0.001)
    terminal = Terminal(FakeCloud(fake_gateway[1]))
    terminal.deployment(**DATABASE).deploy(ONE, dry_run=False)
    assert terminal.cloud.ran == [], "the first task sets up an empty database"
    return terminal


def deploy(terminal: Terminal, image: str) -> None:
    terminal.deployment(**DATABASE).deploy(image, dry_run=False)


def test_the_new_image_migrates_while_the_old_one_serves(terminal: Terminal) -> None:
    terminal.cloud.migration.insert(0, RUNNING)
    deploy(terminal, TWO)
    (ran,) = terminal.cloud.ran
    assert (ran["MigrationImage"], ran["Image"]) == (TWO, ONE)
    assert (ran["cluster"], ran["taskDefinition"], ran["launchType"]) == ("outcrop-test", "arn:migrate:7", "FARGATE")
    assert ran["networkConfiguration"] == {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}
    assert [(each["Image"][-1], each["MigrationImage"][-1]) for each in terminal.cloud.executed] == [
        ("1", "1"), ("1", "2"), ("2", "2"),
    ]  # fmt: skip


def test_the_change_before_the_migration_has_the_template_and_the_parameters_that_run(terminal: Terminal) -> None:
    before, template = dict(terminal.cloud.parameters), terminal.cloud.template
    terminal.deployment(**DATABASE, MinTasks="4").deploy(TWO, dry_run=False)
    proposal = terminal.cloud.proposals[-2]
    given = {each["ParameterKey"]: each["ParameterValue"] for each in proposal["Parameters"]}
    assert given == {**before, "MigrationImage": TWO}
    assert proposal["TemplateBody"] == template


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ([{"lastStatus": "STOPPED", "containers": [{"exitCode": 2}]}], "failed: exit code 2; nothing else was changed"),
        (
            [{"lastStatus": "STOPPED", "stoppedReason": "CannotPullContainerError: no", "containers": [{}]}],
            "failed: CannotPullContainerError: no; nothing",
        ),
        ([], r"the task was not started \(RESOURCE:ENI\)"),
    ],
)
def test_a_failed_migration_ends_the_deployment(
    terminal: Terminal, ended: list[dict[str, object]], reason: str
) -> None:
    terminal.cloud.migration = ended
    with pytest.raises(DeployError, match=reason) as failure:
        deploy(terminal, TWO)
    assert terminal.cloud.parameters["Image"] == ONE
    assert "aws logs tail /outcrop/outcrop-test --log-stream-name-prefix migrate/" in failure.value.remedy
    terminal.cloud.migration = [{"lastStatus": "STOPPED", "containers": [{"exitCode": 0}]}]
    deploy(terminal, TWO)
    assert terminal.cloud.parameters["Image"] == TWO


def test_a_migration_that_does_not_end_is_left_to_itself(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.cloud.migration = [RUNNING]
    monkeypatch.setattr(migration.Migration.__init__, "__defaults__", (0.05,))
    with pytest.raises(DeployError, match="it runs for more than 0 s, and goes on"):
        deploy(terminal, TWO)


def test_a_change_that_fails_before_the_migration_ends_the_deployment(terminal: Terminal) -> None:
    terminal.cloud.results = ["UPDATE_ROLLBACK_COMPLETE"]
    with pytest.raises(DeployError, match="the stack is in UPDATE_ROLLBACK_COMPLETE"):
        deploy(terminal, TWO)
    assert terminal.cloud.ran == []


def test_rollbacks_and_repeated_deployments_migrate_nothing(terminal: Terminal) -> None:
    deploy(terminal, TWO)
    deploy(terminal, TWO)
    terminal.deployment(**DATABASE).rollback(dry_run=False)
    assert len(terminal.cloud.ran) == 1
    assert terminal.images()[-1] == ("1", "2")
    deploy(terminal, THREE)
    assert len(terminal.cloud.ran) == 2


def test_a_new_database_is_set_up_by_the_service(fake_gateway: tuple[Gateway, str]) -> None:
    terminal = Terminal(FakeCloud(fake_gateway[1]))
    terminal.deploy(ONE)
    deploy(terminal, TWO)
    assert terminal.cloud.ran == []
