"""Calls of the gateway's own endpoints from the playground, by whoever is signed in.

A script has no key: the session's cookie says who calls. A request needs the token of the session in a header, which no
other site can read, and must come from the console's own origin. It then passes the endpoint as any other request does,
with the limits and the policy of its caller. .github/SECURITY.md says what this keeps out.
"""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.console.console import Console
from app.console.parts import PREFIX
from app.console.visit import TOKEN_HEADER, Refused, Visit, check_origin, check_token
from app.dialects.http.endpoint import CALLER, head_of
from app.errors import GatewayError
from app.storage.database_down import DatabaseDown

_CALL = f"{PREFIX}/call"
# what the playground calls
_ROUTES = frozenset(
    {
        "/model/{modelId}/converse",
        "/model/{modelId}/converse-stream",
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/models",
        "/v1/responses",
    }
)
_PASSED = frozenset(
    {b"accept", b"anthropic-version", b"content-length", b"content-type", b"host", b"transfer-encoding", b"user-agent"}
)


class GatewayCalls(Struct, frozen=True):
    """Serves `/console/call/` and the path of an endpoint."""

    console: Console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(Request(scope, receive, send), self.console)
        try:
            await self._check(visit)
        except (Refused, GatewayError) as error:
            await _refuse(error.status, error.message)(scope, receive, send)
            return
        except DatabaseDown:
            await _refuse(503, "The database does not answer.")(scope, receive, send)
            return
        path = scope["path"].removeprefix(_CALL)
        found = self.console.parts.route_table.find(f"{scope['method']} {path}")
        if found is None or found[0].route not in _ROUTES:
            await _refuse(404, "The playground does not call this path.")(scope, receive, send)
            return
        endpoint, parameters = found
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        own_scope = {
            **scope,
            "path": path,
            "raw_path": raw.removeprefix(_CALL.encode()),
            "path_params": parameters,
            "headers": [(name, value) for name, value in scope["headers"] if name in _PASSED],
            CALLER: visit.who.caller,
        }
        await endpoint.handle(own_scope, receive, send, head_of(own_scope))

    async def _check(self, visit: Visit) -> None:
        """Check that a script of the console sent the request. Raises Refused."""
        check_origin(visit.request.headers)
        await visit.identify()
        if visit.person is None:
            raise Refused(401, "The session has ended: sign in again.")
        check_token(visit.token, visit.request.headers.get(TOKEN_HEADER, ""))


def _refuse(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "console"}}, status)
