"""The end user that a request names, in the members of all dialects."""

import re
from collections.abc import Mapping
from functools import partial
from typing import TypedDict

from app.execution.request_context import RequestContext
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.wire import json

# of `metadata.user_id` of Claude Code before 2.1.78, after the id of the user
_SESSION = "_session_"
# an object with a member that may name the user: texts of conversations seldom hold one
_MAY_NAME = re.compile(rb'"(?:user|user_id|safety_identifier)"\s*:')


class _NamesUser(TypedDict, total=False):
    """The members of a request that name its user; nothing else becomes an object."""

    user: object
    safety_identifier: object
    metadata: object


_MEMBERS = frozenset(_NamesUser.__annotations__)


def end_user_in(document: Mapping[str, object]) -> str:
    """Return the end user that a request names; empty if it names none."""
    if _MEMBERS.isdisjoint(document):
        return ""
    for name in ("user", "safety_identifier"):
        if isinstance(user := document.get(name), str) and user:
            return user
    metadata = document.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    return _without_session(user) if isinstance(user, str) else ""


def _without_session(user: str) -> str:
    """Return the user of a `metadata.user_id` of Claude Code; any other text is returned as it is.

    Source: requests of Claude Code 2.1.332, whose id is an object as JSON, with members for the device, the account and
    the session. Every session would be another user.
    """
    if not user.startswith("{"):
        return user.partition(_SESSION)[0]
    try:
        named = json.loads(user)
    except json.JsonError:
        return user
    found = [named.get(name) for name in ("account_uuid", "device_id")] if isinstance(named, dict) else []
    return next((each for each in found if isinstance(each, str) and each), user)


async def note_end_user(context: RequestContext) -> None:
    """Note the end user that the body of a request names, where the body is sent as it is. It may be no JSON."""
    body = context.body
    if context.caller.policy is None or _MAY_NAME.search(body) is None:
        return
    read = partial(_end_user_of, body)
    context.user = read() if len(body) <= MAX_LOOP_BYTES else await off_loop(context.caller.name, len(body), read)


def _end_user_of(body: bytes) -> str:
    try:
        return end_user_in(json.loads_as(body, _NamesUser))
    except json.JsonError:
        return ""
