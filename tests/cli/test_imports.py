"""`outcrop import`: teams and keys of LiteLLM, and of API_KEYS."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from app.cli.imports.litellm import NotLiteLlm, plan_of, rows_of
from tests.cli.outcrop_process import invoke

database = pytest.mark.database
TEAMS = [
    {
        "team_id": "t-1", "team_alias": "research", "models": ["bedrock/us.anthropic.claude-sonnet-5", "fast"],
        "max_budget": 100.0, "budget_duration": "30d", "tpm_limit": 50000, "rpm_limit": 60, "blocked": False,
        "metadata": {"unit": "lab", "cost": 7, "tags": ["a"]}, "members_with_roles": [{"user_id": "ann", "role": "admin"}],
        "spend": 12.5,
    },
    {"team_id": "t-2", "team_alias": None, "models": [], "blocked": True, "max_budget": 1e-7, "budget_duration": "24h"},
]  # fmt: skip
KEYS = [
    {
        "token": "ab" * 32, "key_name": "sk-...abcd", "key_alias": "laptop", "team_id": "t-1", "user_id": "ann",
        "models": ["all-team-models"], "max_parallel_requests": 4, "soft_budget": 5, "max_budget": None,
        "expires": "2099-01-01T00:00:00", "metadata": {},
    },
    {
        "token": "cd" * 32, "key_name": "sk-...ef01", "team_id": None, "max_budget": 3, "budget_duration": "90d",
        "tpm_limit": 2**63 - 1, "soft_budget": 1e10, "expires": "9999-01-01",
    },
]  # fmt: skip


def bodies(plan: Any) -> dict[str, Any]:
    return {each.name: each.body for each in [*plan.teams.values(), *[key for _, key in plan.keys]]}


def test_limits_budgets_and_models_are_carried_over() -> None:
    plan = plan_of([*rows_of(TEAMS), *rows_of({"keys": KEYS, "total_count": 2})], "others")
    found = bodies(plan)
    assert found["research"] == {
        "name": "research",
        "limits": {"requests_per_minute": 60, "tokens_per_minute": 50000},
        "budgets": [{"amount_usd": "100.000000000", "period": "month", "action": "block"}],
        "models": ["us.anthropic.claude-sonnet-5", "fast"],
        "labels": {"unit": "lab", "cost": "7", "imported_from": "litellm:t-1"},
    }
    assert found["t-2"]["status"] == "blocked"
    assert found["t-2"]["budgets"] == [{"amount_usd": "0.000000100", "period": "day", "action": "block"}]
    laptop = found["laptop"]
    assert (laptop["person"], laptop["expires_at"], "models" in laptop) == ("ann", "2099-01-01T00:00:00Z", False)
    assert laptop["limits"] == {"max_parallel_requests": 4}
    assert laptop["budgets"] == [{"amount_usd": "5.000000000", "period": "total", "action": "warn"}]
    assert [(source, key.name) for source, key in plan.keys] == [("t-1", "laptop"), ("", "sk-...ef01")]
    assert plan.teams[""].name == "others"


@pytest.mark.parametrize(
    ("row", "loss"),
    [
        ({"max_budget": 3, "budget_duration": "90d"}, "max_budget of 3 for 90d"),
        ({"max_budget": float("nan")}, "max_budget of nan for ever"),
        ({"rpm_limit": 0}, "rpm_limit of 0"),
        ({"rpm_limit": -1}, "rpm_limit of -1"),
        ({"tpm_limit": "many"}, "tpm_limit of many"),
        ({"budget_id": "b-1"}, "budget_id of b-1"),
        ({"metadata": '{"model_rpm_limit": {"a": 5}}'}, "metadata.model_rpm_limit"),
        ({"metadata": "{model_rpm_limit"}, "a text in metadata"),
        ({"models": "{fast}"}, "a text in models"),
        ({"expires": "soon"}, "expires of soon"),
        ({"expires": "0001-01-01T00:00:00+14:00"}, "expires of 0001-01-01T00:00:00+14:00"),
        ({"expires": "9999-01-01"}, "expires_at of 9999-01-01T00:00:00Z"),
        ({"models": ["a" * 300]}, f"models of ['{'a' * 300}']"),
        ({"model_max_budget": {"a": {"budget_limit": 1}}}, "model_max_budget"),
        ({"metadata": {"model_rpm_limit": {"a": 5}}}, "metadata.model_rpm_limit"),
        ({"allowed_routes": ["/chat/completions"]}, "allowed_routes"),
    ],
)
def test_a_key_whose_limit_has_no_counterpart_is_created_blocked(row: dict[str, Any], loss: str) -> None:
    plan = plan_of([{"token": "x", "key_alias": "k", **row}], "t")
    ((_, key),) = plan.keys
    assert key.body["status"] == "blocked"
    assert [*plan.losses()] == [f"key k: {loss} has no counterpart, so it is created blocked"]


@pytest.mark.parametrize(
    ("row", "member", "value"),
    [
        ({"rpm_limit": "100", "tpm_limit": 5000.0}, "limits", {"requests_per_minute": 100, "tokens_per_minute": 5000}),
        ({"tpm_limit": 2**63 - 1}, "limits", {"tokens_per_minute": 10**12}),
        ({"max_budget": "7.5"}, "budgets", [{"amount_usd": "7.500000000", "period": "total", "action": "block"}]),
        (
            {"max_budget": 1e10},
            "budgets",
            [{"amount_usd": "999999999.000000000", "period": "total", "action": "block"}],
        ),
        ({"expires": "2099-01-01 02:00:00+02"}, "expires_at", "2099-01-01T00:00:00Z"),
    ],
)
def test_values_are_read_as_databases_write_them_and_sent_as_the_admin_api_takes_them(
    row: dict[str, Any], member: str, value: object
) -> None:
    plan = plan_of([{"token": "x", "key_alias": "k", **row}], "t")
    ((_, key),) = plan.keys
    assert key.body[member] == value
    assert "status" not in key.body
    assert [*plan.losses()] == []


def test_what_is_not_carried_over_is_said() -> None:
    losses = [*plan_of([*TEAMS, {"token": "x", "key_alias": "k", "team_id": "gone"}], "t").losses()]
    assert losses == [
        "team research: metadata.tags is not carried over",
        "team research: members_with_roles is not carried over",
        "team gone: it is not in the files, so its limits are not known, and it is created blocked",
    ]


def test_a_key_for_all_apis_of_models_is_not_restricted() -> None:
    plan = plan_of([{"token": "h", "key_alias": "k", "allowed_routes": ["llm_api_routes"]}], "litellm")
    assert "status" not in plan.keys[0][1].body
    assert [*plan.losses()] == []


def test_a_key_that_the_administrator_made_is_nobodys() -> None:
    """Otherwise all these keys would share the limits by user, and the users that their programs name would not count."""
    plan = plan_of([{"token": "ab" * 32, "team_id": None, "user_id": "default_user_id"}], "others")
    assert "person" not in plan.keys[0][1].body


def test_keys_of_sessions_are_left_out() -> None:
    plan = plan_of([{"token": "x", "team_id": "litellm-dashboard"}, {"token": "y"}], "t")
    assert ([key.name for _, key in plan.keys], [each.name for each in plan.teams.values()]) == (["y"], ["t"])


def test_a_key_without_models_is_no_key_for_all_models() -> None:
    plan = plan_of([{"token": "x", "models": ["no-default-models"]}], "t")
    assert plan.keys[0][1].body["models"] == ["none"]


def test_rows_of_tables_and_shared_budgets_are_read() -> None:
    document = {
        "LiteLLM_TeamTable": [{"team_id": "t", "team_alias": "a"}],
        "LiteLLM_VerificationToken": [
            {"token": "x", "team_id": "t", "litellm_budget_table": {"max_budget": 2, "budget_duration": "7d"}}
        ],
    }
    plan = plan_of(rows_of(document), "t")
    assert plan.keys[0][1].body["budgets"] == [{"amount_usd": "2.000000000", "period": "week", "action": "block"}]


@pytest.mark.parametrize("document", [{}, [1], {"keys": ["hash"]}, [{"model_name": "a"}], 7, {"model_list": []}])
def test_other_documents_are_refused(document: object) -> None:
    with pytest.raises(NotLiteLlm):
        rows_of(document)


def files_in(folder: Path) -> list[str]:
    (folder / "teams.json").write_text(json.dumps(TEAMS))
    (folder / "keys.json").write_text(json.dumps({"keys": KEYS}))
    return [str(folder / "teams.json"), str(folder / "keys.json")]


@database
def test_an_import_creates_each_team_and_key_once(tmp_path: Path) -> None:
    files, target = files_in(tmp_path), tmp_path / "secrets.jsonl"
    dry = invoke(tmp_path, "import", "litellm", *files, "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, "3 teams and 2 keys would be created, less those that exist.\n")
    # pages may overlap
    ended = invoke(tmp_path, "import", "litellm", *files, files[1], "--secrets", str(target))
    assert ended.exit_code == 0, ended.output
    assert ended.stdout == f"3 teams and 2 keys were created. Their secrets are in {target}.\n"
    assert "key sk-...ef01: max_budget of 3 for 90d has no counterpart, so it is created blocked" in ended.stderr
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    made = [json.loads(line) for line in target.read_text().splitlines()]
    assert [each["name"] for each in made] == ["laptop", "sk-...ef01"]
    assert all(each["secret"].startswith(f"oc_{each['id']}_") for each in made)
    assert made[0]["secret"] not in ended.output
    listed = json.loads(invoke(tmp_path, "keys", "list").stdout)["data"]
    assert {each["name"]: each["status"] for each in listed} == {"laptop": "active", "sk-...ef01": "blocked"}
    again = invoke(tmp_path, "import", "litellm", *files, "--secrets", f"{target}.2")
    assert again.stdout == "0 teams and 0 keys were created.\n"


@database
def test_keys_that_have_expired_are_left_out(tmp_path: Path) -> None:
    expired = {"token": "ef" * 32, "key_alias": "old", "team_id": "t-3", "expires": "2020-01-01T00:00:00"}
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [expired, KEYS[1]]}))
    ended = invoke(tmp_path, "import", "litellm", str(file), "--secrets", str(tmp_path / "secrets.jsonl"))
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith("1 teams and 1 keys were created.")
    assert "key old: it has expired, and is left out" in ended.stderr


@database
def test_a_team_whose_name_is_taken_gets_another_name(tmp_path: Path) -> None:
    invoke(tmp_path, "teams", "create", "research")
    teams = [
        {"team_id": "t-1", "team_alias": "research", "rpm_limit": 5},
        {"team_id": "t-2", "team_alias": "research", "blocked": True},
    ]
    keys = [{"token": f"k{number}", "key_alias": f"k{number}", "team_id": f"t-{number}"} for number in (1, 2, 3)]
    file = tmp_path / "all.json"
    file.write_text(json.dumps({"teams": teams, "keys": keys}))
    ended = invoke(tmp_path, "import", "litellm", str(file), "--secrets", str(tmp_path / "secrets"))
    assert "team research: the name is taken, so it is called research 3" in ended.stderr, ended.output
    names = {each["id"]: each for each in json.loads(invoke(tmp_path, "teams", "list").stdout)["data"]}
    found = json.loads(invoke(tmp_path, "keys", "list").stdout)["data"]
    of_keys = {each["name"]: names[each["team_id"]] for each in found}
    assert {name: (team["name"], team["status"]) for name, team in of_keys.items()} == {
        "k1": ("research 2", "active"),
        "k2": ("research 3", "blocked"),
        "k3": ("t-3", "blocked"),
    }
    keys.append({"token": "k4", "key_alias": "k4", "team_id": "t-2"})
    file.write_text(json.dumps({"teams": teams, "keys": keys}))
    again = invoke(tmp_path, "import", "litellm", str(file), "--secrets", str(tmp_path / "more"))
    assert again.stdout.startswith("0 teams and 1 keys were created.")


@database
def test_keys_of_the_environment_get_new_secrets_in_a_team(tmp_path: Path) -> None:
    target = tmp_path / "secrets.jsonl"
    given = {"API_KEYS": "a=old-secret-of-a-0001,b=old-secret-of-b-0001,a=new-secret-of-a-0001"}
    ended = invoke(tmp_path, "import", "env", "--team", "all", "--secrets", str(target), **given)
    assert ended.stdout == f"1 teams and 2 keys were created. Their secrets are in {target}.\n", ended.output
    assert [json.loads(line)["name"] for line in target.read_text().splitlines()] == ["a", "b"]
    assert "old-secret" not in target.read_text()
    more = {"API_KEYS": "b=old-secret-of-b-0001,c=old-secret-of-c-0001"}
    again = invoke(tmp_path, "import", "env", "--team", "all", "--secrets", f"{target}.2", **more)
    assert again.stdout.startswith("0 teams and 1 keys were created.")


@database
def test_wrong_files_and_missing_options_are_named(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    assert "with --secrets, or add --dry-run" in invoke(tmp_path, "import", "litellm", *files).stderr
    taken = invoke(tmp_path, "import", "litellm", *files, "--secrets", files[0])
    assert (taken.exit_code, "File exists" in taken.stderr) == (1, True)
    assert json.loads(invoke(tmp_path, "teams", "list").stdout) == {"data": []}, "nothing was created"
    Path(files[0]).write_text("model_list: []")
    assert "is not JSON" in invoke(tmp_path, "import", "litellm", *files, "--dry-run").stderr
    assert "API_KEYS is not set" in invoke(tmp_path, "import", "env", "--team", "t", "--dry-run", API_KEYS="").stderr
