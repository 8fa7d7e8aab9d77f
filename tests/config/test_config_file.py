"""The configuration file: its content, and the errors of an invalid one."""

from pathlib import Path

import pytest

from app.config.config_file import ConfigFile, load_config
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
        ("[alias]", "alias: Extra inputs"),
        ("[aliases]\na = 5", "aliases.a: Input should be a valid string"),
        ('[aliases]\n"a b" = "c.d"', "aliases.a b: String should match"),
        ("[routes.a]\ntargets = []", "routes.a.targets: List should have at least 1 item"),
        ('[routes.a]\ntargets = [{ model = "b.c", weight = 0 }]', "routes.a.targets.0.weight: Input should be greater"),
        ('[routes.a]\ntargets = [{ model = "b.c", weight = 9 }]', "routes.a: a weight has no effect without order"),
        ('[routes.a]\ntargets = [{ model = "b.c", role = "x" }]', "routes.a.targets.0.role: String should match"),
        ('[aliases]\na = "b.c"\n[routes.a]\ntargets = [{ model = "b.c" }]', "a is an alias and a route"),
    ],
)
def test_errors_name_the_path_of_the_first_invalid_field(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        load_config(written(tmp_path, text))


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
