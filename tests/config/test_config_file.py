"""The configuration file: its content, and the errors of an invalid one."""

import os
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.composition.deployment import planner_of
from app.config.config_file import ConfigFile, load_config
from app.config.environment import load_settings
from app.config.identity_tables import IdentityRow, OidcRow
from app.config.misspelled import misspelled_settings
from app.config.settings import SettingsError
from tests.servers import gateway_settings

COMPLETE = """
[aliases]
fast = "us.amazon.nova-lite-v1:0"

[routes.smart]
order = "weighted"
targets = [
    { model = "us.anthropic.claude-sonnet-5", weight = 3 },
    { model = "b.two", region = "us-west-2", role = "arn:aws:iam::111122223333:role/outcrop" },
]

[models."arn:aws:bedrock:us-east-1:111122223333:imported-model/abc"]
stands_for = "meta.llama3-3-70b-instruct-v1:0"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "outcrop.toml"
    path.write_text(text)
    return path


def test_a_complete_file_is_parsed(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, COMPLETE))
    assert config.aliases == {"fast": "us.amazon.nova-lite-v1:0"}
    assert [target.weight for target in config.routes["smart"].targets] == [3, 1]
    (model,) = config.models.values()
    assert model.stands_for == "meta.llama3-3-70b-instruct-v1:0"
    assert load_config(written(tmp_path, "")) == ConfigFile()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[aliases", "is not valid TOML"),
        ("[alias]", r"line 1: alias: unknown; did you mean 'aliases'\?$"),
        (
            "[x]",
            r"line 1: x: unknown: use aliases, routes, models, limits, prices, guardrail_prices, quotas, quota_weights, identity$",
        ),
        ("[aliases]\na = 5", "line 2: aliases.a: Input should be a valid string"),
        ('[aliases]\n"a b" = "c.d"', "line 2: aliases.a b: String should match"),
        ("[routes.a]\ntargets = []", "line 2: routes.a.targets: List should have at least 1 item"),
        (
            '[routes.a]\ntargets = [{ model = "b.c", weight = 0 }]',
            "line 2: routes.a.targets.0.weight: Input should be g",
        ),
        (
            '[routes.a]\ntargets = [{ model = "b.c", weight = 9 }]',
            "line 1: routes.a: a weight has no effect without or",
        ),
        (
            '[routes.a]\ntargets = [{ model = "b.c", role = "x" }]',
            "line 2: routes.a.targets.0.role: String should match",
        ),
        (
            '[[routes.a.targets]]\nmodel = "m"\n[[routes.a.targets]]\nmodl = "m"',
            "line 3: routes.a.targets.1.model: is missing\nline 4: routes.a.targets.1.modl: unknown",
        ),
        ('[limits."a.b"]\ntotl = 5', r"line 2: limits.a.b.totl: unknown; did you mean 'total'\?$"),
        (
            '[[identity.oidc]]\nname = "a"\n[[identity.oidc.rules]]\nmatch = {}\nteam = "t"\n'
            '[[identity.oidc]]\n[[identity.oidc.rules]]\nmatch = {}\n[[identity.oidc.rules]]\nmatch = {}\ntaem = "t"',
            r"(.*\n)*line 7: identity.oidc.1.rules.0: the rule gives nothing: .*\n"
            r"line 11: identity.oidc.1.rules.1.taem: unknown; did you mean 'team'\?",
        ),
        ('[identity.iam]\ngatewy = "g"', r"(.*\n)*line 2: identity.iam.gatewy: unknown; did you mean 'gateway'\?"),
        ('[aliases]\na = "b.c"\n[routes.a]\ntargets = [{ model = "b.c" }]', "a is an alias and a route"),
    ],
)
def test_errors_name_line_and_path_of_an_invalid_field(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        load_config(written(tmp_path, text))


RULES = [{"match": {}, "team": "t"}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"issuer": "http://127.0.0.1:5000"}, ""),
        ({"issuer": "http://login.example.com"}, "https://"),
        ({"issuer": "http://127.0.0.1.evil.test"}, "https://"),
        ({"issuer": "https://user:secret@login.example.com"}, "https://"),
        ({"issuer": "https://login.example.com?a=b"}, "https://"),
        ({"issuer": "https://"}, "https://"),
        ({"jwks_uri": "http://login.example.com/keys"}, "https://"),
        ({"audiences": []}, "at least 1"),
        ({"audiences": "outcrop"}, ""),
        ({"algorithms": ["HS256"]}, "RS256"),
        ({"algorithms": ["none"]}, "RS256"),
        ({"algorithms": []}, "at least 1"),
        ({"rules": []}, "at least 1"),
        ({"rules": [{"match": {}, "team": "a", "team_claim": "b"}]}, "exclude each other"),
        ({"rules": [{"match": {"a": []}, "team": "a"}]}, "at least 1"),
        ({"name": "corp/x"}, "pattern"),
    ],
)
def test_an_issuer_is_reached_safely_and_pins_what_it_accepts(changes: dict[str, object], words: str) -> None:
    row = {"name": "corp", "issuer": "https://login.example.com", "audiences": ["outcrop"], "rules": RULES, **changes}
    if not words:
        assert OidcRow.model_validate(row).audiences == ["outcrop"]
        return
    with pytest.raises(ValueError, match=words):
        OidcRow.model_validate(row)


@pytest.mark.parametrize("field", ["name", "issuer"])
def test_two_issuers_differ(field: str) -> None:
    rows = [
        {"name": name, "issuer": f"https://{name}.example.com", "audiences": ["a"], "rules": RULES} for name in "ab"
    ]
    rows[1][field] = rows[0][field]
    with pytest.raises(ValueError, match=f"two tables have the {field}"):
        IdentityRow.model_validate({"oidc": rows})


def test_every_fault_is_reported_with_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = """# names
[alias]
fast = "a.b"

[routes.smart]
targets = [
    { model = "a.b" },
    { modl = "c.d" },
]
"""
    path = written(tmp_path, text)
    variables = {
        "CONFIG_FILE": str(path),
        "AWS_REGION": "us-east-1",
        "BEDROCK_MODEL_ID": "a.b",
        "AUTH_DISABLED": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / "none.env")
    assert caught.value.faults == [
        f"CONFIG_FILE='{path}': line 8: routes.smart.targets.1.model: is missing",
        f"CONFIG_FILE='{path}': line 8: routes.smart.targets.1.modl: unknown; did you mean 'model'?",
        f"CONFIG_FILE='{path}': line 2: alias: unknown; did you mean 'aliases'?",
    ]


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot be read: No such file"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ValueError, match="cannot be read"):
        gateway_settings("http://127.0.0.1:1", config_file=tmp_path / "none.toml")


def test_model_aliases_take_precedence_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, COMPLETE)
    settings = gateway_settings("http://127.0.0.1:1", config_file=path, model_aliases="fast=x.y,smart=z.z")
    config = settings.config()
    assert (config.aliases, config.routes) == ({"fast": "x.y", "smart": "z.z"}, {})
    assert gateway_settings("http://127.0.0.1:1").config() == ConfigFile()


def test_the_file_may_be_given_as_config_toml(tmp_path: Path) -> None:
    settings = gateway_settings("http://127.0.0.1:1", config_toml=COMPLETE)
    assert list(settings.config().routes) == ["smart"]
    with pytest.raises(ValueError, match="is not valid TOML"):
        gateway_settings("http://127.0.0.1:1", config_toml="[")
    with pytest.raises(ValueError, match="CONFIG_FILE is set too"):
        gateway_settings("http://127.0.0.1:1", config_toml=COMPLETE, config_file=written(tmp_path, COMPLETE))


EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def test_the_examples_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in dotenv_values(EXAMPLES / ".env.example").items():
        monkeypatch.setenv(name, value or "")
    settings = load_settings(EXAMPLES / "none.env")
    config = load_config(EXAMPLES / "outcrop.example.toml")
    assert config.aliases
    assert config.routes
    assert list(misspelled_settings(os.environ)) == []
    planner_of(settings.model_copy(update={"config_file": EXAMPLES / "outcrop.example.toml"}))


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("BEDROCK_READTIMEOUT", "did you mean BEDROCK_READ_TIMEOUT?"),
        ("MODEL_ALIAS", "did you mean MODEL_ALIASES?"),
        ("LOGLEVEL", "did you mean LOG_LEVEL?"),
        ("BEDROCK_XYZZY_QQ", "has no effect"),
    ],
)
def test_a_variable_that_resembles_a_setting_is_warned_of(name: str, warning: str) -> None:
    (found,) = misspelled_settings([name])
    assert found.startswith(f"{name} is not a setting and has no effect")
    assert found.endswith(warning)


def test_other_variables_are_not_warned_of() -> None:
    foreign = [
        "API_KEY",
        "AWS_REGIONS",
        "HOME",
        "HOSTNAME",
        "LANG",
        "OTEL_SERVICE_NAME",
        "PATH",
        "PORTS_OPEN",
        "log_level",
    ]
    assert list(misspelled_settings(foreign)) == []
