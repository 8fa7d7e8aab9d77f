"""The end user that a request names, in the members of all dialects."""

from app.wire.json import JsonObject

# Claude Code adds the session to the id of its user (2.1.332)
_SESSION = "_session_"


def end_user_in(document: JsonObject) -> str:
    """Return the end user that a request names; empty if it names none."""
    for name in ("user", "safety_identifier"):
        if isinstance(user := document.get(name), str) and user:
            return user
    metadata = document.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    return user.partition(_SESSION)[0] if isinstance(user, str) else ""
