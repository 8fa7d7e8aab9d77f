from typing import Any

import pytest

from app.converse.usage import Usage
from app.dialects.http.endpoint import RECORD
from app.dialects.http.middleware import RequestMiddleware, request_id_of
from app.dialects.http.route_table import RouteTable
from app.models.prices import Prices
from app.observability.load import Load
from app.observability.trace import PassingTracer

NO_ROUTES: Any = RouteTable((), None)  # type: ignore[arg-type]


class Seen:
    def __init__(self) -> None:
        self.records: list[Any] = []

    def request_ended(self, record: Any) -> None:
        self.records.append(record)


async def pass_through(headers: list[tuple[bytes, bytes]], kind: str = "http") -> tuple[list[Any], Seen]:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if kind == "http":
            assert scope[RECORD].method == "GET"
            assert load.take()[1] == 1
        await send({"type": "http.response.start", "status": 204, "headers": [(b"a", b"b")]})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    seen, load = Seen(), Load()
    await RequestMiddleware(application, [seen], load, Prices(), PassingTracer(), NO_ROUTES)(
        {"type": kind, "method": "GET", "path": "/", "query_string": b"", "headers": headers}, None, send
    )  # type: ignore[arg-type]
    return sent, seen


async def test_request_gets_an_id_and_is_reported() -> None:
    sent, seen = await pass_through([])
    (record,) = seen.records
    assert sent[0]["headers"] == [(b"a", b"b"), (b"x-request-id", record.request_id.encode())]
    assert record.status == 204


async def test_callers_request_id_is_kept_if_it_is_safe() -> None:
    _, seen = await pass_through([(b"x-request-id", b"mine-1")])
    assert seen.records[0].request_id == "mine-1"
    for unsafe in (b"a b", b"a\r\nx: y", b"", b"x" * 129):
        _, seen = await pass_through([(b"x-request-id", unsafe)])
        assert seen.records[0].request_id != unsafe.decode()


def test_request_ids_are_new_and_safe() -> None:
    made = request_id_of({})
    assert made != request_id_of({})
    assert request_id_of({"x-request-id": made}) == made
    for unsafe in ("a\nb", "\N{LATIN SMALL LETTER E WITH ACUTE}", 'a"b'):
        assert request_id_of({"x-request-id": unsafe}) != unsafe


async def test_lifespan_scope_passes_unreported() -> None:
    sent, seen = await pass_through([], kind="lifespan")
    assert (len(sent), seen.records) == (1, [])


@pytest.mark.parametrize(
    ("members", "is_priced"),
    [
        ({}, True),
        ({"streamed": True}, True),
        # a usage that was final is known, though the stream failed after it
        ({"streamed": True, "error": "connection_lost"}, True),
        ({"streamed": True, "error": "caller_gone"}, True),
        ({"usage": Usage(1000, 1, is_final=False)}, False),
        ({"usage": Usage()}, False),
        ({"tier": "priority"}, False),
        ({"usage": Usage("5", 1)}, False),
        ({"usage": Usage(10**400, 1)}, False),
    ],
)
async def test_cost_is_set_only_for_final_usage_and_known_prices(members: dict[str, Any], is_priced: bool) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        record = scope[RECORD]
        record.target, record.usage = "anthropic.claude-sonnet-4-6", Usage(1000, 0)
        for name, value in members.items():
            setattr(record, name, value)

    seen = Seen()
    surrounded: Any = RequestMiddleware(application, [seen], Load(), Prices(), PassingTracer(), NO_ROUTES)
    await surrounded({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}, None, None)
    (record,) = seen.records
    assert (record.cost is not None) is is_priced


async def test_failing_observer_does_not_affect_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        def request_ended(self, record: Any) -> None:
            raise ZeroDivisionError

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scope[RECORD].status = 200

    seen = Seen()
    middleware: Any = RequestMiddleware(application, [Failing(), seen], Load(), Prices(), PassingTracer(), NO_ROUTES)
    await middleware({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}, None, None)
    assert [record.status for record in seen.records] == [200]
    assert "an observer failed" in caplog.text
