"""Shows callers with a policy only the asynchronous calls that their team has started.

Bedrock knows one account. So the idempotency token of StartAsyncInvoke gets the team before it, `TEAM/TOKEN`: Bedrock
returns it with each call, and no caller with a policy can send one of another team.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from app.dialects.http.responses import CompleteResponse
from app.errors import InvalidRequest, NotFound
from app.wire import json
from app.wire.json import JsonObject

_MEMBER = "clientRequestToken"
# of Bedrock's token
_MAX_LENGTH = 256
_LIST, _ROWS = "ListAsyncInvokes", "asyncInvokeSummaries"
READS = ("GetAsyncInvoke", _LIST)


def with_team(document: JsonObject, team_id: str) -> bytes:
    """Return a body of StartAsyncInvoke whose token names a team.

    Raises:
        InvalidRequest: the token is no text, or leaves no room for the team.
    """
    token, prefix = document.get(_MEMBER), f"{team_id}/"
    if token is None:
        token = str(uuid4())
    longest = _MAX_LENGTH - len(prefix)
    if not isinstance(token, str) or not 0 < len(token) <= longest:
        raise InvalidRequest(f"{_MEMBER}: must be a string of 1 to {longest} characters", param=_MEMBER)
    return json.dumps({**document, _MEMBER: prefix + token})


def only_of_team(name: str, team_id: str, response: CompleteResponse) -> CompleteResponse:
    """Return what a team may see of a response to one of `READS`. Raises NotFound: another team started the call."""
    document = json.loads(response.body)
    if name == _LIST:
        rows = [_without_team(row, team_id) for row in document.get(_ROWS, ())]
        shown: JsonObject | None = {**document, _ROWS: [row for row in rows if row is not None]}
    else:
        shown = _without_team(document, team_id)
    if shown is None:
        raise NotFound("your team has no such asynchronous call")
    return CompleteResponse(response.status, response.headers, json.dumps(shown))


def _without_team(call: Mapping[str, object], team_id: str) -> JsonObject | None:
    """Return a call with the token that its caller sent; None if another team started it."""
    token, prefix = call.get(_MEMBER), f"{team_id}/"
    if not isinstance(token, str) or not token.startswith(prefix):
        return None
    return {**call, _MEMBER: token.removeprefix(prefix)}
