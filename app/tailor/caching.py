"""Cache points, only where the model caches.

Evidence: "You invoked an unsupported model or your request did not allow prompt caching", a 403 (litellm#39210).
"""

from typing import Any

from app.tailor.draft import Draft


def tailor_caching(draft: Draft) -> None:
    """Take cache points out where the model would refuse them. It costs the caller money, not content."""
    if draft.traits.caching:
        return
    body = draft.body
    if "system" in body:
        body["system"] = _without_points(body["system"], draft)
    if "toolConfig" in body:
        tools = _without_points(body["toolConfig"]["tools"], draft)
        body["toolConfig"] = {**body["toolConfig"], "tools": tools}
    body["messages"] = [
        {**message, "content": _without_points(message["content"], draft)} for message in body["messages"]
    ]


def _without_points(blocks: list[Any], draft: Draft) -> list[Any]:
    kept = [block for block in blocks if "cachePoint" not in block]
    if len(kept) < len(blocks):
        draft.repair("cache_points")
    return kept
