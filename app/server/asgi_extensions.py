"""Names of what this server adds to the ASGI scope. Each is absent under another server.

`TASKS` is the application's, in the state of its lifespan.
"""

# closes the connection at once, without sending what is buffered: `() -> None`
ABORT = "outcrop.abort"
# ends a response that is incomplete, and closes the connection after what was written: `() -> None`
CUT = "outcrop.cut"
# returns whether the whole request body has arrived: `() -> bool`
ARRIVED = "outcrop.arrived"
# registers a function to call when the caller disconnects: `(callback | None) -> None`
DISCONNECTED = "outcrop.disconnected"
# the connection's `FlowControl`: whether bytes wait to be sent, and until when
FLOW = "outcrop.flow"
# writes a complete response, whose headers hold its length; nothing may wait to be sent:
# `(status, [(name, value)], body) -> None`
RESPOND = "outcrop.respond"
# accepts the upgrade that a request of type `websocket` asks for; its refusal is sent as a response of HTTP. Takes the
# headers `sec-websocket-key` and `x-request-id`: `(str, str) -> WebSocket`
UPGRADE = "outcrop.upgrade"
# writes a piece of a response body, and returns whether more may be written at once: `(bytes) -> bool`
WRITE = "outcrop.write"
# the tasks of the application that are not requests; on shutdown they get the same grace: `set[asyncio.Task]`
TASKS = "outcrop.tasks"
