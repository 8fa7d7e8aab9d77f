"""`outcrop teams`, `keys`, `usage`, `spend` and `audit`, on the database and on a gateway."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from app.cli.administration.members import body_of
from tests.admin.api.conftest import ADMIN_KEY, settings_of
from tests.cli.outcrop_process import invoke
from tests.servers import NOWHERE, gateway, recording_server

pytestmark = [pytest.mark.database, pytest.mark.loopback]


class Outcrop:
    """Runs commands on the database of a folder, or on a gateway that has it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.environment = folder, environment

    def invoke(self, *arguments: str, **environment: str) -> Result:
        return invoke(self.folder, *arguments, **{**self.environment, **environment})

    def __call__(self, *arguments: str) -> Any:
        """Return what a command prints."""
        ended = self.invoke(*arguments)
        assert ended.exit_code == 0, ended.output
        return json.loads(ended.stdout) if ended.stdout else None

    def refused(self, *arguments: str) -> str:
        ended = self.invoke(*arguments)
        assert ended.exit_code in (1, 2), ended.output
        return ended.stderr


@pytest.fixture(params=["database", "gateway"])
def outcrop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outcrop]:
    if request.param == "database":
        yield Outcrop(tmp_path)
        return
    with gateway(NOWHERE, **settings_of(f"sqlite:///{tmp_path}/outcrop.db", tmp_path)) as url:
        # it must not open the database itself
        yield Outcrop(tmp_path, OUTCROP_URL=url, OUTCROP_ADMIN_KEY=ADMIN_KEY, DATABASE_URL="")


def test_a_team_is_created_changed_and_deleted(outcrop: Outcrop) -> None:
    team = outcrop(
        "teams", "create", "research", "--model", "*haiku*", "--model", "smart", "--requests", "60",
        "--tokens", "1000", "--budget", "25/month", "--budget", "5.5/day,warn,estimated", "--label", "unit=lab",
        "--default-max-tokens", "100", "--guardrail", "abc:1",
    )  # fmt: skip
    assert (team["name"], team["models"], team["labels"]) == ("research", ["*haiku*", "smart"], {"unit": "lab"})
    assert team["limits"] | {"shadow": []} == {
        "requests_per_minute": 60, "tokens_per_minute": 1000, "max_parallel_requests": None, "shadow": [],
    }  # fmt: skip
    budgets = {each["period"]: (each["amount_usd"], each["action"], each["mode"]) for each in team["budgets"]}
    assert budgets == {"month": ("25.00", "block", "hard"), "day": ("5.50", "warn", "estimated")}
    assert team["guardrail"] == {"id": "abc", "version": "1"}
    changed = outcrop(
        "teams", "change", "research", "--requests", "none", "--parallel", "5", "--budget", "none",
        "--model", "none", "--label", "none", "--default-max-tokens", "none", "--guardrail", "none", "--name", "lab",
    )  # fmt: skip
    assert (changed["name"], changed["models"], changed["budgets"], changed["labels"]) == ("lab", None, [], {})
    assert (changed["limits"]["requests_per_minute"], changed["limits"]["tokens_per_minute"]) == (None, 1000)
    assert (changed["limits"]["max_parallel_requests"], changed["default_max_tokens"]) == (5, None)
    assert outcrop("teams", "show", "lab") == outcrop("teams", "show", team["id"]) == changed
    assert [each["name"] for each in outcrop("teams", "list")["data"]] == ["lab"]
    assert outcrop("teams", "delete", "lab") is None
    assert outcrop("teams", "list") == {"data": []}


def test_the_name_of_one_team_may_be_the_id_of_another(outcrop: Outcrop) -> None:
    first = outcrop("teams", "create", "first")["id"]
    second = outcrop("teams", "create", first)["id"]
    assert outcrop("teams", "show", first)["name"] == "first"
    outcrop("teams", "delete", first)
    assert [each["id"] for each in outcrop("teams", "list")["data"]] == [second]
    # the id of a team that was deleted is a name now
    assert outcrop("teams", "show", first)["id"] == second


@pytest.mark.parametrize(
    "arguments",
    [
        *(("teams", "delete", ""), ("teams", "show", ""), ("teams", "change", "", "--status", "blocked")),
        *(("keys", "create", "k", "--team", ""), ("keys", "show", ""), ("keys", "list", "--team", "")),
        ("keys", "list", "--person", ""),
        *(("usage", "--team", ""), ("spend", "--key", ""), ("ledger", "list", "--user", ""), ("audit", "--actor", "")),
    ],
)
def test_an_empty_choice_chooses_neither_the_first_nor_all(outcrop: Outcrop, arguments: tuple[str, ...]) -> None:
    outcrop("teams", "create", "first")
    named = [each for each in arguments if each.startswith("--") and each != "--status"] or [arguments[0][:-1].upper()]
    assert f"Invalid value for '{named[0]}': must not be empty" in outcrop.refused(*arguments)
    assert [each["status"] for each in outcrop("teams", "list")["data"]] == ["active"]
    assert outcrop("keys", "list") == {"data": []}


def test_more_members_come_from_a_file(outcrop: Outcrop, tmp_path: Path) -> None:
    members = tmp_path / "members.json"
    members.write_text(json.dumps({"limits_per": [{"per": "user", "requests_per_minute": 3}]}))
    team = outcrop("teams", "create", "t", "--members", str(members), "--status", "blocked")
    assert (team["limits_per"][0]["per"], team["status"]) == ("user", "blocked")
    members.write_text("[]")
    assert "must hold a JSON object" in outcrop.refused("teams", "create", "u", "--members", str(members))
    members.write_text("{")
    assert "is not JSON" in outcrop.refused("teams", "create", "u", "--members", str(members))


def test_a_key_lives_from_creation_to_deletion(outcrop: Outcrop, tmp_path: Path) -> None:
    outcrop("teams", "create", "t")
    made = outcrop("keys", "create", "laptop", "--team", "t", "--person", "ann", "--expires", "2099-01-01")
    assert made["secret"].startswith(f"oc_{made['id']}_")
    assert made["expires_at"].startswith("2099-01-01T00:00:00")
    assert "secret" not in outcrop("keys", "show", made["id"])
    target = tmp_path / "secret"
    rotated = outcrop("keys", "rotate", made["id"], "--grace", "60", "--secret-file", str(target))
    assert "secret" not in rotated
    assert (len(rotated["secrets"]), stat.S_IMODE(target.stat().st_mode)) == (2, 0o600)
    assert target.read_text().startswith(f"oc_{made['id']}_")
    assert target.read_text().strip() != made["secret"]
    # the file is opened first: otherwise the secret would be lost
    assert "File exists" in outcrop.refused("keys", "rotate", made["id"], "--secret-file", str(target))
    assert len(outcrop("keys", "show", made["id"])["secrets"]) == 2
    assert outcrop("keys", "change", made["id"], "--requests", "7")["limits"]["requests_per_minute"] == 7
    assert outcrop("keys", "show", made["id"])["expires_at"] == made["expires_at"]
    assert outcrop("keys", "change", made["id"], "--expires", "none")["expires_at"] is None
    assert "write 2026-11-30" in outcrop.refused("keys", "change", made["id"], "--expires", "never")
    assert [each["id"] for each in outcrop("keys", "list", "--team", "t", "--person", "ann")["data"]] == [made["id"]]
    assert outcrop("keys", "list", "--person", "bob") == {"data": []}
    assert outcrop("keys", "revoke", made["id"])["status"] == "revoked"
    outcrop("keys", "delete", made["id"])
    actions = [(each["action"], each["actor"][:4]) for each in outcrop("audit", "--object", made["id"])["data"]]
    expected = ["key.delete", "key.revoke", "key.change", "key.change", "key.rotate", "key.create"]
    actor = "key:" if outcrop.environment else "cli:"
    assert actions == [(action, actor) for action in expected]
    assert len(outcrop("audit", "--limit", "2")["data"]) == 2
    assert made["secret"] not in outcrop.invoke("audit").stdout


def test_a_secret_file_of_a_refused_request_is_deleted(outcrop: Outcrop, tmp_path: Path) -> None:
    target = tmp_path / "secret"
    assert "there is no" in outcrop.refused("keys", "rotate", "nobody", "--secret-file", str(target))
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("teams show nobody", "there is no team 'nobody'"),
        ("teams create t --budget 25", "write AMOUNT/day|week|month|total"),
        ("teams create t --budget 25/month,soft", "any of warn, block"),
        ("teams create t --budget x/month", "budgets[0].amount_usd: must be a string with an amount in USD"),
        ("teams create t --requests many", "'many' is not a number"),
        ("teams create t --label x", "write NAME=VALUE"),
        ("keys create k --team nobody", "there is no team 'nobody'"),
        ("keys show nobody", "there is no key"),
        ("usage --by color", "group_by"),
    ],
)
def test_what_is_wrong_is_said(outcrop: Outcrop, arguments: str, words: str) -> None:
    assert words in outcrop.refused(*arguments.split())


def test_usage_and_spend_are_shown(outcrop: Outcrop) -> None:
    team = outcrop("teams", "create", "t", "--budget", "25/month")
    assert outcrop("usage", "--by", "team,label:unit", "--interval", "day", "--team", "t") == {"data": []}
    (row,) = outcrop("spend", "--team", "t")["data"]
    assert (row["scope_id"], row["amount_usd"], row["remaining_usd"]) == (team["id"], "25.00", "25.00")


def test_people_get_tables_without_control_characters(outcrop: Outcrop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.administration.output._wants_json", lambda is_json: is_json)
    outcrop("teams", "create", "t", "--budget", "25/month", "--label", "unit=lab", "--json")
    listed = outcrop.invoke("teams", "list").stdout.splitlines()
    assert listed[0].split() == ["ID", "NAME", "STATUS", "MODELS", "LIMITS", "LABELS"]
    assert listed[1].split()[1:] == ["t", "active", "-", "-", "unit=lab"]
    shown = outcrop.invoke("teams", "show", "t").stdout
    assert "amount_usd=25.00, period=month" in shown
    from app.cli.administration.output import _cell

    assert _cell("a\x1b[2Jb\n") == "a?[2Jb?"


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    ended = invoke(tmp_path, "teams", "list", DATABASE_URL="")
    assert (ended.exit_code, "DATABASE_URL is not set" in ended.stderr) == (2, True)


def test_a_gateway_is_asked_with_a_key_of_an_administrator(tmp_path: Path) -> None:
    with gateway(NOWHERE, **settings_of(f"sqlite:///{tmp_path}/outcrop.db", tmp_path)) as url:
        key_file = tmp_path / "key"
        key_file.write_text(f"{ADMIN_KEY}\n")
        listed = invoke(tmp_path, "teams", "list", "--url", f"{url}/", "--key-file", str(key_file))
        assert (listed.exit_code, json.loads(listed.stdout)) == (0, {"data": []})
        missing = invoke(tmp_path, "teams", "list", "--url", url)
        assert (missing.exit_code, "set OUTCROP_ADMIN_KEY" in missing.stderr) == (2, True)
        wrong = invoke(tmp_path, "teams", "list", "--url", url, OUTCROP_ADMIN_KEY="nobodys-key-of-administration")
        assert wrong.exit_code == 1
        assert "nobodys" not in wrong.output


def test_a_gateway_without_an_admin_api_or_at_no_address_is_named(tmp_path: Path) -> None:
    key = {"OUTCROP_ADMIN_KEY": ADMIN_KEY}
    with gateway(NOWHERE) as url:
        ended = invoke(tmp_path, "teams", "list", "--url", url, **key)
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert "there is no GET /admin/v1/teams" in ended.stderr
    gone = invoke(tmp_path, "teams", "list", "--url", url, **key)
    assert (gone.exit_code, f"{url} cannot be reached: " in gone.stderr) == (1, True)
    for wrong in ("gateway.example.com", "ftp://x", "https://user:secret@x"):
        refused = invoke(tmp_path, "teams", "list", "--url", wrong, **key)
        assert (refused.exit_code, "secret" in refused.output) == (2, False)


def test_no_redirect_gets_the_key(tmp_path: Path) -> None:
    with recording_server(302, location="/elsewhere") as (url, received):
        ended = invoke(tmp_path, "teams", "list", "--url", url, OUTCROP_ADMIN_KEY=ADMIN_KEY)
    assert (ended.exit_code, "status 302" in ended.stderr) == (1, True)
    assert [path for path, _, _ in received] == ["/admin/v1/teams?limit=500"]


def test_an_identifier_with_a_path_names_nothing(outcrop: Outcrop) -> None:
    for arguments in (("keys", "show", "../teams"), ("keys", "revoke", "a/b"), ("teams", "show", "a/b")):
        assert outcrop.refused(*arguments).startswith("Error: "), arguments


def test_another_pepper_makes_no_secrets(tmp_path: Path) -> None:
    outcrop = Outcrop(tmp_path)
    outcrop("teams", "create", "research")
    key = outcrop("keys", "create", "ci", "--team", "research")
    other = Outcrop(tmp_path, KEY_PEPPER="another-pepper-of-32-characters--")
    for arguments in (("keys", "create", "more", "--team", "research"), ("keys", "rotate", key["id"])):
        assert "KEY_PEPPER is not the one with which keys were made" in other.refused(*arguments)
    assert len(outcrop("keys", "list")) == 1
    assert outcrop("keys", "rotate", key["id"])["revision"] == 2


@pytest.mark.parametrize("kind", ["teams", "keys"])
def test_a_change_at_the_same_time_is_not_overwritten(
    outcrop: Outcrop, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """`change` replaces all limits, those that no option names with the values that it has read."""
    name = outcrop("teams", "create", "raced", "--requests", "60")["id"]
    if kind == "keys":
        name = outcrop("keys", "create", "raced", "--team", "raced", "--requests", "60")["id"]

    def change_first(options: dict[str, Any], before: Any = None) -> Any:
        monkeypatch.undo()
        outcrop(kind, "change", name, "--tokens", "1000")
        return body_of(options, before)

    monkeypatch.setattr(f"app.cli.{kind}.body_of", change_first)
    assert "its revision is 2, and not 1" in outcrop.refused(kind, "change", name, "--requests", "5")
    limits = outcrop(kind, "show", name)["limits"]
    assert (limits["requests_per_minute"], limits["tokens_per_minute"]) == (60, 1000)
