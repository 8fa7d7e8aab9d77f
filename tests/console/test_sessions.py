"""Cookies of sessions: what they hold, and what is refused."""

import base64
import time

import pytest

from app.console.sessions import Session, SessionSigner, new_session, signer_of
from app.wire import json
from tests.servers import gateway_settings

SIGNER = SessionSigner(b"k" * 32)
SECRET = "a-secret-of-24-letters-x"


def test_a_cookie_is_read_back() -> None:
    session = new_session("admin", "ops", SIGNER.proof(SECRET))
    assert SIGNER.read(SIGNER.sign(session)) == session


def test_a_cookie_holds_no_secret() -> None:
    cookie = SIGNER.sign(new_session("admin", "ops", SIGNER.proof(SECRET)))
    payload, _, _ = cookie.partition(".")
    assert SECRET not in cookie
    assert SECRET.encode() not in base64.urlsafe_b64decode(payload + "==")


def test_each_session_has_an_id_of_its_own() -> None:
    assert len({new_session("admin", "ops", "p").id for _ in range(100)}) == 100


@pytest.mark.parametrize("position", [0, 5, -1, -10])
def test_a_changed_cookie_is_refused(position: int) -> None:
    cookie = list(SIGNER.sign(new_session("key", "team-a", "p")))
    cookie[position] = "A" if cookie[position] != "A" else "B"
    assert SIGNER.read("".join(cookie)) is None


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "é.x", "x" * 5000, "AAAA." + "A" * 43, "%%%%.x"])
def test_what_is_no_cookie_is_refused(cookie: str) -> None:
    assert SIGNER.read(cookie) is None


def test_an_expired_session_is_refused() -> None:
    assert SIGNER.read(SIGNER.sign(Session("id", "admin", "ops", "p", int(time.time()) - 1))) is None


def test_a_cookie_of_another_deployment_is_refused() -> None:
    cookie = SessionSigner(b"x" * 32).sign(new_session("admin", "ops", "p"))
    assert SIGNER.read(cookie) is None


def test_a_form_token_is_no_signature_of_a_session() -> None:
    payload = json.dumps(["id", "admin", "ops", "p", 2**40])
    text = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    assert SIGNER.read(f"{text}.{SIGNER.form_token(payload.decode())}") is None


def test_every_replica_signs_alike_and_a_changed_key_ends_all_sessions() -> None:
    first, second = (signer_of(gateway_settings("http://127.0.0.1:9")) for _ in range(2))
    changed = signer_of(gateway_settings("http://127.0.0.1:9", api_keys="tests=another-key-of-24-letters"))
    session = new_session("key", "tests", "p")
    assert second.read(first.sign(session)) == session
    assert changed.read(first.sign(session)) is None


def test_without_keys_the_key_is_that_of_the_process() -> None:
    settings = gateway_settings("http://127.0.0.1:9", api_keys=None, auth_disabled=True)
    session = new_session("anyone", "anonymous", "")
    assert signer_of(settings).read(signer_of(settings).sign(session)) == session
    assert signer_of(settings).key != SessionSigner(b"").key
