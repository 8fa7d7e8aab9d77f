"""Responses to HTTP/1.0, which has neither chunks nor `100 Continue` (RFC 9112 6.1, RFC 9110 10.1.1).

uvicorn sends every response without a length in chunks, whose sizes a client of HTTP/1.0 would read as content.
"""

from app.server.uvicorn_interface import RequestResponseCycle, SendEvent


def frame_for_http10(cycle: RequestResponseCycle) -> None:
    """Send the response of an HTTP/1.0 request unchunked: without a length, the end of the connection ends it.

    Args:
        cycle: a request that has not reached the application.
    """
    if cycle.scope["http_version"] != "1.0":
        return
    send = cycle.send
    cycle.waiting_for_100_continue = False
    has_length = True

    async def send_unchunked(message: SendEvent) -> None:
        nonlocal has_length
        if message["type"] == "http.response.start":
            has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            cycle.chunked_encoding = None if has_length else False
        elif message["type"] == "http.response.body" and not has_length:
            # uvicorn refuses more bytes than it expects
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            del cycle.send  # this function refers to the cycle: end the reference cycle

    cycle.send = send_unchunked  # type: ignore[method-assign]  # uvicorn has no other hook for a response
