"""Answers to HTTP/1.0, message by message; over sockets they are tried in end_to_end."""

from typing import Any

from app.server.http10 import answer_plainly


class Cycle:
    """As much of uvicorn's as is touched."""

    def __init__(self, version: str) -> None:
        self.scope = {"http_version": version}
        self.said: list[Any] = []
        self.chunked_encoding: bool | None = None

    async def send(self, message: Any) -> None:
        self.said.append(message)


async def test_a_request_that_has_ended_holds_itself_no_longer() -> None:
    cycle = Cycle("1.0")
    answer_plainly(cycle)
    for message in (
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": b"a", "more_body": True},
    ):
        await cycle.send(message)
    assert (cycle.chunked_encoding, "send" in vars(cycle)) == (False, True)
    await cycle.send({"type": "http.response.body", "body": b"b"})
    assert ([message["type"][14:] for message in cycle.said], "send" in vars(cycle)) == (
        ["start", "body", "body"],
        False,
    )


async def test_what_is_newer_is_left_alone() -> None:
    cycle = Cycle("1.1")
    answer_plainly(cycle)
    assert "send" not in vars(cycle)
