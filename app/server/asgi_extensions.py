"""Names of the extensions that this server adds to the ASGI scope. Each is absent under another server."""

# cuts the connection at once: `() -> None`
ABORT = "outcrop.abort"
# ends a response that has no end of its own, and closes the connection behind it: `() -> None`
CUT = "outcrop.cut"
# tells whether the whole request body has arrived: `() -> bool`
ARRIVED = "outcrop.arrived"
# registers a callback for the moment at which the caller disconnects: `(callback | None) -> None`
DISCONNECTED = "outcrop.disconnected"
# writes a piece of a response body at once, and tells whether more may follow at once: `(bytes) -> bool`
WRITE = "outcrop.write"
