"""Answers to who speaks HTTP/1.0, which knows neither chunks nor `100 Continue` (RFC 9112 6.1, RFC 9110 10.1.1).

uvicorn frames an answer without a length in chunks for everybody: their lengths would be read as part of the answer.
"""

from typing import Any


def answer_plainly(cycle: Any) -> None:
    """Have an answer of HTTP/1.0 come as it is: one that tells no length ends with its connection, as all there do.

    Args:
        cycle: uvicorn's `RequestResponseCycle`, of a request that has not begun to run.
    """
    if cycle.scope["http_version"] != "1.0":
        return
    send = cycle.send
    cycle.waiting_for_100_continue = False
    is_endless = False

    async def send_plainly(message: Any) -> None:
        nonlocal is_endless
        if message["type"] == "http.response.start":
            is_endless = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
            cycle.chunked_encoding = False if is_endless else None
        elif is_endless:  # whatever is said was expected
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            del cycle.send  # which holds the request, as it holds this

    cycle.send = send_plainly
