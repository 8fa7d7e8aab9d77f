"""Responses to HTTP/1.0, message by message; tests/end_to_end/test_heads.py tests them over sockets."""

from typing import Any

from app.server.http10 import frame_for_http10


class Cycle:
    """The part of uvicorn's cycle that is used."""

    def __init__(self, version: str) -> None:
        self.scope = {"http_version": version}
        self.said: list[Any] = []
        self.chunked_encoding: bool | None = None

    async def send(self, message: Any) -> None:
        self.said.append(message)


async def test_a_response_leaves_no_reference_cycle() -> None:
    cycle = Cycle("1.0")
    frame_for_http10(cycle)
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


async def test_http_1_1_is_not_changed() -> None:
    cycle = Cycle("1.1")
    frame_for_http10(cycle)
    assert "send" not in vars(cycle)
