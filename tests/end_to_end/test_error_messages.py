"""What callers and operators read when a name, a base URL, a variable or credentials are wrong."""

import json
import logging
from pathlib import Path

import httpx
import pytest

from app.config.environment import load_settings
from app.config.settings import SettingsError
from app.main import create_app
from app.observability.logs import LogObserver
from tests.servers import KEY, emulator_app, gateway, gateway_settings, serving

HEADERS = {"x-api-key": KEY}

ADVICE = " (GET /v1/models lists the text models that can be called)"
QUESTION = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


@pytest.fixture(autouse=True)
def _log_every_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fsat", f"no model 'fsat'; did you mean 'fast'?{ADVICE}"),
        ("bedrock/fsat", f"no model 'fsat'; did you mean 'fast'?{ADVICE}"),
        ("no.such-model", f"The provided model identifier is invalid.{ADVICE}"),
    ],
)
def test_a_model_that_is_not_found_is_answered_with_the_nearest_name(path: str, name: str, words: str) -> None:
    with serving(emulator_app()) as bedrock, gateway(bedrock, model_aliases="fast=scripted.echo-v1:0") as base:
        answer = httpx.post(base + path, json={**QUESTION, "model": name}, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, words)


@pytest.mark.parametrize("prefix", ["bedrock/", "bedrock/converse/", "bedrock/invoke/"])
@pytest.mark.parametrize("name", ["fast", "scripted.echo-v1:0"])
def test_names_with_the_prefix_of_litellm_are_accepted(prefix: str, name: str) -> None:
    with serving(emulator_app()) as bedrock, gateway(bedrock, model_aliases="fast=scripted.echo-v1:0") as base:
        body = {**QUESTION, "model": prefix + name}
        answer = httpx.post(f"{base}/v1/chat/completions", json=body, headers=HEADERS)
    assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "hi")


@pytest.mark.parametrize(
    ("path", "words", "logged"),
    [
        (
            "/v1/v1/messages",
            "the base URL has /v1 twice, since the client adds it: leave /v1 out of the base URL",
            "/v1/v1/messages",
        ),
        ("/chat/completions", "the base URL lacks /v1: add it", "/chat/completions"),
        ("/v1/mine/secret", "/docs lists what there is", "/v1/*/*"),
    ],
)
def test_a_wrong_base_url_is_named_to_caller_and_operator(path: str, words: str, logged: str) -> None:
    lines: list[bytes] = []
    with serving(emulator_app()) as bedrock, gateway(bedrock, LogObserver(lines.append)) as base:
        answer = httpx.post(base + path, json={}, headers=HEADERS)
    assert answer.json()["error"]["message"] == f"there is no POST {path}: {words}"
    assert [json.loads(line)["detail"] for line in lines if b'"POST"' in line] == [logged]


@pytest.mark.parametrize(
    ("body", "logged"),
    [
        ({"messages": 5}, "field messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "content[0]"),
    ],
)
def test_the_log_names_the_field_of_an_invalid_request(body: object, logged: str) -> None:
    lines: list[bytes] = []
    with serving(emulator_app()) as bedrock, gateway(bedrock, LogObserver(lines.append)) as base:
        assert httpx.post(f"{base}/v1/chat/completions", json=body, headers=HEADERS).status_code == 400
    assert logged in json.loads(lines[-1])["detail"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v1/chat/completions", "server_error"), ("/v1/messages", "api_error")],
)
def test_missing_credentials_are_not_called_an_overload(path: str, kind: str) -> None:
    lines: list[bytes] = []
    application = create_app(gateway_settings("http://127.0.0.1:9"), LogObserver(lines.append))
    with serving(application) as base:
        answer = httpx.post(base + path, json=QUESTION, headers=HEADERS)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (503, kind)
    assert error["message"] == "the gateway has no AWS credentials"
    line = json.loads(lines[0])
    assert (line["level"], line["error"]) == ("ERROR", "credentials_missing")
    assert line["detail"] == "no AWS credentials found in the environment, profile or metadata"


def test_missing_credentials_are_logged_once_when_models_are_listed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), serving(create_app(gateway_settings("http://127.0.0.1:9"))) as base:
        httpx.get(f"{base}/v1/models", headers=HEADERS)
    listed = {record.getMessage() for record in caplog.records if "list of models" in record.getMessage()}
    missing = "no AWS credentials found in the environment, profile or metadata"
    assert listed == {f"the list of models could not be refreshed: {missing}"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "API_KEYS is not set: set keys, or AUTH_DISABLED=true to serve clients on this machine"),
        (
            {"AUTH_DISABLED": "true", "TLS_CERTFILE": __file__},
            "TLS_CERTFILE and TLS_KEYFILE go together: set both or neither",
        ),
    ],
)
def test_a_fault_begins_with_the_variable_to_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    for name, value in {"AWS_REGION": "us-east-1", "BEDROCK_MODEL_ID": "a.b", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / "none.env")
    assert caught.value.faults == [words]
