"""Callers without a key of the gateway: with tokens of a real issuer, of AWS IAM, and with certificates."""

import itertools
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from msgspec import Struct

from app.bedrock.transport import HttpRequest
from app.config.settings import SettingsError
from app.main import create_app
from app.storage.database import Database
from app.storage.key_changes import touched
from app.storage.records import Limit, Team
from app.storage.repository import limits
from tests.bedrock.http1.certificates import Authority
from tests.end_to_end.conftest import Records
from tests.governance.oidc_issuer import Issuer, issuer_tables, running_issuer
from tests.governance.test_iam import Answer, Sts, as_token, presigned
from tests.keys import PEPPER, add_team, change_team, within
from tests.servers import KEY, gateway, gateway_settings, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.database

ECHO, NOVA = "scripted.echo-v1:0", "amazon.nova-pro-v1:0"
TURN: Any = {"role": "user", "content": "hi"}
BODY = {"model": ECHO, "messages": [TURN]}
CHAT = "/v1/chat/completions"
BY_DEPARTMENT = """
[[identity.oidc.rules]]
match = { department = "*" }
team_claim = "department"
"""
MTLS = """
[identity.mtls]
header = "x-client-subject"
format = "subject"

[[identity.mtls.rules]]
match = { O = "Example" }
team = "research"
"""

_numbers = itertools.count(1)


class Served(Struct):
    """A gateway with a team, and its issuer."""

    url: str
    database: str
    team: Team
    issuer: Issuer
    records: Records

    def token(self, **claims: Any) -> str:
        return self.issuer.token(**{"email": "alice@example.com", "groups": ["ml-vision"], **claims})

    def post(self, token: str = "", path: str = CHAT, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request, by default from an address without failed authentications."""
        sent = {"x-forwarded-for": f"2001:db8:{next(_numbers):x}::1", **headers}
        if token:
            sent["authorization"] = f"Bearer {token}"
        return httpx.post(self.url + path, json=body or BODY, headers=sent, timeout=20)

    def caller(self, answer: httpx.Response) -> str:
        return self.records.by_id(answer.headers["x-request-id"]).caller


def database_settings(folder: Path) -> dict[str, Any]:
    return {"database_url": f"sqlite:///{folder}/outcrop.db", "key_pepper": PEPPER}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, emulator_url: str) -> Iterator[Served]:
    settings, records = database_settings(tmp_path_factory.mktemp("identity")), Records()
    database = settings["database_url"]
    team = within(database, lambda each: add_team(each, name="research", models=[ECHO]))
    with running_issuer() as issuer:
        config = issuer_tables(issuer.url, BY_DEPARTMENT) + MTLS
        with gateway(emulator_url, records, config_toml=config, forwarded_allow_ips="127.0.0.1", **settings) as url:
            yield Served(url, database, team, issuer, records)


def test_unmodified_clients_send_a_token_as_their_key(served: Served) -> None:
    token = served.token()
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=token, max_retries=0) as sdk:
        assert sdk.chat.completions.create(model=ECHO, messages=[TURN]).choices[0].message.content
    with anthropic.Anthropic(base_url=served.url, api_key=token, max_retries=0) as other:
        assert other.messages.create(model=ECHO, max_tokens=9, messages=[TURN]).content
    answer = served.post(token)
    assert (answer.status_code, served.caller(answer)) == (200, "oidc/corp/alice")
    # beside the keys of the environment
    assert served.post(KEY).status_code == 200


def test_the_team_decides_what_a_caller_may_do(served: Served) -> None:
    token = served.token()
    listed = httpx.get(f"{served.url}/v1/models", headers={"authorization": f"Bearer {token}"}).json()
    assert {model["id"] for model in listed["data"]} >= {ECHO}
    assert not any("nova" in model["id"] for model in listed["data"])
    assert served.post(token, body={**BODY, "model": NOVA}).status_code in (403, 404)


def test_a_claim_names_the_team(served: Served) -> None:
    assert served.post(served.token(groups=[], department="research")).status_code == 200
    assert served.post(served.token(groups=[], department=served.team.id)).status_code == 200
    answer = served.post(served.token(groups=[], department="unknown"))
    assert answer.status_code == 403
    assert "the team unknown" in answer.json()["error"]["message"]
    # a team that is created later is found
    within(served.database, lambda each: add_team(each, name="later"))
    wait_until(lambda: served.post(served.token(groups=[], department="later")).status_code == 200)


def test_limits_by_user_are_those_of_the_person(served: Served) -> None:
    async def add(database: Database) -> None:
        team = await add_team(database, name="limited")
        limit = Limit(scope="team", scope_id=team.id, per="user", kind="requests_per_minute", capacity=1)
        async with database.begin() as connection:
            await limits.add(connection, limit)
            await touched(connection, team)

    within(served.database, add)

    def post(person: str, **headers: str) -> httpx.Response:
        token = served.token(sub=person, email=f"{person}@example.com", groups=[], department="limited")
        return served.post(token, body={**BODY, "user": "somebody"}, **headers)

    assert post("eve").status_code == 200
    refused = [post("eve"), post("eve", **{"x-outcrop-user": "another"})]
    assert [answer.status_code for answer in refused] == [429, 429], "whatever user a call names"
    assert post("bob").status_code == 200


def test_a_caller_without_a_rule_is_refused(served: Served) -> None:
    answer = served.post(served.token(groups=["other"]))
    assert (answer.status_code, answer.headers["x-should-retry"]) == (403, "false")
    assert "no rule" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "claims", [{"aud": "another"}, {"exp": int(time.time()) - 100}, {"iss": "https://evil.test"}, {"nbf": 2**33}]
)
def test_a_wrong_token_is_refused_in_each_dialect(served: Served, claims: dict[str, Any]) -> None:
    token = served.token(**claims)
    for _ in range(2):
        answer = served.post(token)
        assert (answer.status_code, answer.headers["x-should-retry"]) == (401, "false")
        assert answer.json()["error"]["code"] == "invalid_api_key"
    answer = served.post(token, "/v1/messages", {"model": ECHO, "max_tokens": 9, "messages": [TURN]})
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
    answer = served.post(token, f"/model/{ECHO}/converse", {"messages": []})
    assert answer.status_code == 401


def test_callers_of_a_blocked_team_are_refused(served: Served) -> None:
    team = within(served.database, lambda each: add_team(each, name="blocked later"))
    token = served.token(groups=[], department="blocked later")
    assert served.post(token).status_code == 200
    within(served.database, lambda each: change_team(each, team, status="blocked"))
    wait_until(lambda: served.post(token).status_code == 401)


def test_no_part_of_a_token_is_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    tokens = [served.token(), served.token(aud="another"), served.token()[:-8] + "AAAAAAAA", served.token(groups=[])]
    with caplog.at_level(logging.DEBUG):
        answers = [served.post(token) for token in tokens]
    assert [answer.status_code for answer in answers] == [200, 401, 401, 403]
    records = [served.records.by_id(answer.headers["x-request-id"]) for answer in answers]
    told = caplog.text + repr(records) + "".join(answer.text for answer in answers)
    assert not [part for token in tokens for part in token.split(".") if part[:20] in told]


def test_failed_tokens_are_throttled_by_address_and_valid_ones_go_on(served: Served) -> None:
    valid = served.token(sub="bob")
    statuses = [
        served.post(f"{valid[:-10]}{number:010}", **{"x-forwarded-for": "203.0.113.77"}).status_code
        for number in range(30)
    ]
    assert statuses[:20] == [401] * 20
    assert 429 in statuses
    assert served.post(valid, **{"x-forwarded-for": "203.0.113.77"}).status_code == 200


def test_an_issuer_that_is_down_leaves_other_callers_alone(emulator_url: str, tmp_path: Path) -> None:
    settings = database_settings(tmp_path)
    within(settings["database_url"], lambda each: add_team(each, name="research"))
    issuer = Issuer()
    issuer.url = "http://127.0.0.1:9"
    with gateway(emulator_url, config_toml=issuer_tables(issuer.url, BY_DEPARTMENT), **settings) as url:
        token = issuer.token(email="a", groups=["ml-a"])
        began = time.monotonic()
        answer = httpx.post(url + CHAT, json=BODY, headers={"authorization": f"Bearer {token}"}, timeout=20)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert time.monotonic() - began < 15
        assert httpx.post(url + CHAT, json=BODY, headers={"x-api-key": KEY}, timeout=20).status_code == 200


IAM = """
[identity.iam]
gateway = "outcrop.example.com"

[[identity.iam.rules]]
match = { arn = "arn:aws:iam::111122223333:role/ml-*" }
team = "research"
"""


class StsServer(Sts):
    """STS as a server."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        url = f"https://{dict(headers)['host']}/?{scope['query_string'].decode()}"
        answer = await self.open(HttpRequest("GET", url, headers, b""))
        sent = [(name.encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        await send({"type": "http.response.body", "body": answer.body})


def test_callers_with_aws_credentials_are_verified_by_sts_over_tls(
    emulator_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, sts, records = Authority(tmp_path), StsServer(), Records()
    authority.context("localhost")
    certificate = str(tmp_path / "localhost1.pem")
    settings = {**database_settings(tmp_path), "aws_ca_bundle": authority.bundle}
    within(settings["database_url"], lambda each: add_team(each, name="research"))
    with serving(sts, lifespan="off", ssl_certfile=certificate) as behind:
        host = f"localhost:{behind.rpartition(':')[2]}"
        monkeypatch.setattr("app.governance.identity.iam.sts_host", lambda _: host)
        url_to_sign = f"https://{host}/?Action=GetCallerIdentity&Version=2011-06-15"
        with gateway(emulator_url, records, config_toml=IAM, **settings) as url:

            def post(token: str) -> httpx.Response:
                return httpx.post(url + CHAT, json=BODY, headers={"x-api-key": token}, timeout=20)

            token = as_token(presigned(url_to_sign))
            answers = [post(token) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 200], answers[0].text
            assert len(sts.requests) == 1, "the answer is remembered"
            caller = records.by_id(answers[0].headers["x-request-id"]).caller
            assert caller == "iam/aws:sts::111122223333:assumed-role/ml-train/alice@example.com"
            for forged in (presigned(url_to_sign, gateway="other"), presigned(url_to_sign, secret="another")):
                assert [post(as_token(forged)).status_code for _ in range(2)] == [401, 401]
            assert len(sts.requests) == 3
            sts.arn = "arn:aws:sts::999999999999:assumed-role/ml-train/mallory"
            assert post(as_token(presigned(url_to_sign, expires=800))).status_code == 403
            sts.answer = Answer(302, b"", (("location", f"https://{host}/"),))
            assert post(as_token(presigned(url_to_sign, expires=700))).status_code == 503
            assert len(sts.requests) == 5
            # a genuine host, but not of a region that this gateway asks
            assert post(as_token(presigned())).status_code == 401


def test_a_certificate_that_a_trusted_proxy_reports_identifies_its_caller(served: Served) -> None:
    subject = {"x-client-subject": "CN=svc-a,O=Example"}
    answer = served.post(**subject)
    assert (answer.status_code, served.caller(answer)) == (200, "mtls/CN=svc-a,O=Example")
    assert served.post("client-certificate", **subject).status_code == 200
    # a key or a token takes precedence, also where it is wrong
    assert served.caller(served.post(served.token(), **subject)) == "oidc/corp/alice"
    assert served.post("wrong-key-of-somebody", **subject).status_code == 401
    assert served.post(**{"x-client-subject": "CN=svc-a,O=Other"}).status_code == 403
    assert served.post(**{"x-client-subject": "nonsense"}).status_code == 401
    assert served.post("client-certificate").status_code == 401


def test_a_response_in_the_background_has_the_certificate_of_its_request(served: Served) -> None:
    headers = {"x-client-subject": "CN=svc-a,O=Example", "x-forwarded-for": "2001:db8:ffff::1"}
    body = {"model": ECHO, "input": "hi", "background": True}
    begun = served.post("", "/v1/responses", body, **headers).json()

    def read() -> Any:
        return httpx.get(f"{served.url}/v1/responses/{begun['id']}", headers=headers, timeout=20).json()

    wait_until(lambda: read()["status"] != "in_progress")
    ended = read()
    assert (ended["status"], ended["error"]) == ("completed", None)
    clients = {record.client for record in served.records.all if record.caller == "mtls/CN=svc-a,O=Example"}
    assert "2001:db8:ffff::1" in clients
    assert "127.0.0.1" not in clients


def test_a_certificate_of_an_untrusted_peer_is_ignored(emulator_url: str, tmp_path: Path) -> None:
    settings = database_settings(tmp_path)
    within(settings["database_url"], lambda each: add_team(each, name="research"))
    with gateway(emulator_url, config_toml=MTLS, forwarded_allow_ips="10.0.0.0/8", **settings) as url:
        for forged in ({}, {"x-forwarded-for": "10.0.0.1"}):
            headers = {"x-client-subject": "CN=svc-a,O=Example", **forged}
            assert httpx.post(url + CHAT, json=BODY, headers=headers, timeout=20).status_code == 401


def test_a_role_makes_an_administrator(served: Served) -> None:
    def ask(method: str, path: str, token: str, body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", "x-forwarded-for": f"2001:db8:{next(_numbers):x}::1"}
        return httpx.request(method, f"{served.url}/admin/v1{path}", headers=headers, json=body, timeout=20)

    administrator = served.token(sub="root", groups=["platform-admins"])
    made = ask("POST", "/teams", administrator, {"name": "made by an administrator"})
    assert made.status_code == 201, made.text
    listed = ask("GET", "/audit", administrator)
    assert listed.status_code == 200, listed.text
    entries = [each for each in listed.json()["data"] if each["object_id"] == made.json()["id"]]
    assert [entry["actor"] for entry in entries] == ["oidc/corp/root"]
    assert ask("GET", "/teams", served.token()).status_code == 403
    assert ask("GET", "/teams", served.token(groups=["platform-admins"], aud="another")).status_code == 401
    assert ask("GET", "/teams", KEY).status_code == 401
    # it gives no team
    answer = served.post(administrator)
    assert (answer.status_code, answer.json()["error"]["message"][:7]) == (403, "no rule")


@pytest.mark.parametrize(
    ("config", "changes", "words"),
    [
        (MTLS, {"forwarded_allow_ips": "*"}, "FORWARDED_ALLOW_IPS must list"),
        (MTLS, {}, "FORWARDED_ALLOW_IPS must list"),
        (MTLS, {"database_url": None}, "DATABASE_URL is not set"),
        (issuer_tables("https://login.example.com"), {"database_url": None}, "DATABASE_URL is not set"),
    ],
)
def test_a_deployment_that_lacks_what_it_needs_does_not_start(
    tmp_path: Path, config: str, changes: dict[str, Any], words: str
) -> None:
    settings = gateway_settings("http://127.0.0.1:9", config_toml=config, **{**database_settings(tmp_path), **changes})
    with pytest.raises(SettingsError, match=words):
        create_app(settings)
