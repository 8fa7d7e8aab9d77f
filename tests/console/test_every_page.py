"""What holds for every page and every form of the console. The pages are read from the code, so that none is forgotten."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

import app.console.pages
from app.console.gateway_calls import _ROUTES
from app.console.page_spec import PageSpec
from app.console.pages import pages_of
from tests.console.conftest import ADMIN_KEY
from tests.console.test_isolation import Made, api, made
from tests.console.test_pages import MARKUP
from tests.console.visitor import Visitor, signed_in

__all__ = ["made"]

pytestmark = [pytest.mark.database, pytest.mark.loopback]

SPECS = pages_of(has_database=True)
SHOWN = [spec for spec in SPECS if spec.method == "GET" and spec.access != "anyone"]
FORMS = [spec for spec in SPECS if spec.method == "POST"]
SOURCE = "".join(path.read_text() for path in Path(app.console.pages.__file__).parent.parent.rglob("*.py"))
# the names of all parameters of queries, wherever a page reads one
PARAMETERS = sorted(
    {*re.findall(r'visit\.query\("(\w+)"', SOURCE), "team_id", "key_id", "user", "model", "actor", "object_id"}
)


def named(spec: PageSpec) -> str:
    return f"{spec.method} {spec.path}"


def path_of(spec: PageSpec, value: str) -> str:
    return re.sub(r"\{\w+(:path)?\}", lambda _: value, spec.path.rstrip("/"))


class Objects(Struct):
    """What belongs to others: their ids, and the values of filters that would show it."""

    key: str
    team: str
    request: str

    def of(self, spec: PageSpec) -> str:
        """The path of a page about one of them."""
        kinds = {"/keys": self.key, "/teams": self.team, "/requests": self.request}
        return path_of(spec, next((value for kind, value in kinds.items() if spec.path.startswith(kind)), "default"))


@pytest.fixture(scope="module")
def objects(made: Made) -> Objects:
    other = made.others[1]
    (entry, *_) = api(made.url, "GET", f"/ledger?key_id={other['id']}")["data"]
    return Objects(other["id"], other["team_id"], entry["request_id"])


@pytest.fixture(scope="module")
def admin(made: Made) -> Iterator[Visitor]:
    with signed_in(made.url, ADMIN_KEY) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def caller(made: Made) -> Iterator[Visitor]:
    with signed_in(made.url, made.mine["secret"]) as visitor:
        yield visitor


def token_of(visitor: Visitor) -> str:
    return visitor.get().text.partition('data-token="')[2].partition('"')[0]


def test_all_pages_are_read() -> None:
    assert len(SHOWN) >= 18
    assert len(FORMS) >= 8
    assert {"team_id", "key_id", "model", "search", "offset", "cursor", "range"} <= {*PARAMETERS}


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.access != "anyone"], ids=named)
def test_nobody_without_a_session_sees_a_page(made: Made, objects: Objects, spec: PageSpec) -> None:
    with Visitor(made.url) as visitor:
        path, headers = f"/console{objects.of(spec)}", {"origin": made.url}
        answer = visitor.client.request(spec.method, path, headers=headers, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")
        assert answer.text == ""


@pytest.mark.parametrize("spec", SHOWN, ids=named)
def test_a_caller_sees_nothing_of_others(made: Made, objects: Objects, caller: Visitor, spec: PageSpec) -> None:
    """Whatever its path and its filters name."""
    asked = {"team_id": objects.team, "key_id": objects.key, "user": "foreign-user", "model": "*", "source": "process"}
    for query in ({}, asked, *[{name: value} for name, value in asked.items()], {"group_by": "key"}):
        answer = caller.get(objects.of(spec), params=query)
        assert answer.status_code == (403 if spec.access == "admin" else 200), query
        # what the request itself named may be shown again
        text = re.sub("|".join(map(re.escape, query.values())) or "$^", "", answer.text)
        assert [name for name in made.names if name in text] == [], query


@pytest.mark.parametrize("spec", [spec for spec in FORMS if spec.access == "admin"], ids=named)
def test_a_caller_sends_no_form_of_administrators(
    made: Made, objects: Objects, caller: Visitor, spec: PageSpec
) -> None:
    before = api(made.url, "GET", "/audit")["data"]
    fields = {"name": "mine", "team_id": made.mine["team_id"], "grace_seconds": "0"}
    assert caller.post(objects.of(spec), token=token_of(caller), **fields).status_code == 403
    assert api(made.url, "GET", "/audit")["data"] == before


@pytest.mark.parametrize("spec", FORMS, ids=named)
@pytest.mark.parametrize(
    "trick", ["no token", "token of another session", "another origin", "broken origin", "no origin", "another site"]
)
def test_no_form_is_taken_that_the_session_s_own_page_did_not_send(
    made: Made, objects: Objects, admin: Visitor, caller: Visitor, spec: PageSpec, trick: str
) -> None:
    before = api(made.url, "GET", "/audit")["data"]
    tokens = {"no token": "", "token of another session": token_of(caller)}
    headers = {
        "another origin": {"origin": "https://evil.example"},
        "broken origin": {"origin": "http://[::1"},
        "no origin": {"origin": "null"},
        "another site": {"sec-fetch-site": "cross-site"},
    }
    if spec.access == "anyone":
        with Visitor(made.url) as visitor:
            sent = {"token": tokens.get(trick, visitor.token()), "headers": headers.get(trick), "admin_key": ADMIN_KEY}
            assert visitor.post(spec.path, **sent).status_code == 403  # type: ignore[arg-type]
            assert visitor.session() == ""
        return
    fields = {"name": "forged", "team_id": objects.team, "grace_seconds": "0"}
    token = tokens.get(trick, token_of(admin))
    assert admin.post(objects.of(spec), token=token, headers=headers.get(trick), **fields).status_code == 403
    assert api(made.url, "GET", "/audit")["data"] == before
    assert admin.get("/keys").status_code == 200


@pytest.mark.parametrize("spec", SHOWN, ids=named)
def test_no_path_and_no_parameter_becomes_markup(admin: Visitor, spec: PageSpec) -> None:
    for path, query in (
        (path_of(spec, MARKUP), {}),
        (path_of(spec, "x"), dict.fromkeys(PARAMETERS, MARKUP)),
        *[(path_of(spec, "x"), {name: MARKUP}) for name in PARAMETERS],
    ):
        answer = admin.get(path, params=query)
        assert answer.status_code < 500, (path, query)
        assert "<img src=x" not in answer.text, (path, query)
        if answer.headers["content-type"].startswith("text/html"):
            assert "49" not in re.findall(r"&amp;\{\{7\*7\}\}|&amp;49", answer.text)


@pytest.mark.parametrize("spec", SHOWN, ids=named)
def test_no_parameter_holds_what_postgresql_refuses(admin: Visitor, spec: PageSpec) -> None:
    for name in ("search", "team_id", "key_id", "model", "user", "object_id"):
        answer = admin.get(path_of(spec, "default"), params={name: "\0"})
        assert answer.status_code in {200, 400, 404}
        assert answer.status_code != 200 or "\0" not in answer.text
    if spec.path in {"/keys", "/teams"}:
        assert admin.get(spec.path, params={"search": "\0"}).status_code == 400
    if spec.path in {"/usage", "/usage.csv", "/keys", "/keys/new"}:
        assert admin.get(spec.path, params={"team_id": "\0"}).status_code == 400


@pytest.mark.parametrize("spec", SHOWN, ids=named)
def test_every_page_has_the_strict_headers(objects: Objects, admin: Visitor, spec: PageSpec) -> None:
    answer = admin.get(objects.of(spec))
    if answer.headers["content-type"] == "application/json":
        return
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", answer.text)


@pytest.mark.parametrize("spec", SHOWN, ids=named)
def test_every_figure_has_a_definition(objects: Objects, admin: Visitor, spec: PageSpec) -> None:
    text = admin.get(objects.of(spec)).text
    columns = re.findall(r'<th scope="col" class="number">(.*?)</th>', text, re.DOTALL)
    facts = re.findall(r"<dt>((?:(?!</dt>).)*)</dt>\s*<dd>(?:(?!</dd>).)*?<data", text, re.DOTALL)
    assert [each for each in [*columns, *facts] if 'role="tooltip"' not in each] == []
    ids = re.findall(r'id="([^"]+)"', text)
    assert len(ids) == len({*ids})
    assert {*re.findall(r'aria-describedby="([^"]+)"', text)} <= {*ids}


@pytest.mark.parametrize("route", sorted(_ROUTES))
def test_no_endpoint_is_called_by_another_site_s_page(admin: Visitor, route: str) -> None:
    path = "/console/call" + re.sub(r"\{\w+\}", "scripted.echo-v1:0", route)
    method = "GET" if route == "/v1/models" else "POST"
    for headers in ({}, {"x-csrf-token": "x"}, {"x-csrf-token": token_of(admin), "origin": "https://evil.example"}):
        assert admin.client.request(method, path, json={}, headers=headers).status_code == 403
