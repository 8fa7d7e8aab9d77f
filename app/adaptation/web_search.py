"""A search of the web that the model runs itself.

Sources: AWS user guides, Amazon Nova, Web Grounding (2026-11): a system tool `nova_grounding`; litellm 1.110.2.
"""

from app.adaptation.adapted_request import AdaptedRequest
from app.converse.request import ToolConfiguration


def request_web_search(adapted: AdaptedRequest) -> None:
    """Offer the model its own search where the caller wants one, or name the field as ignored."""
    if not adapted.intent.web_search:
        return
    name = adapted.capabilities.tools.web_search
    if not name:
        adapted.ignore("web_search_options")
        return
    config: ToolConfiguration = adapted.body.get("toolConfig") or {"tools": []}
    adapted.body["toolConfig"] = {**config, "tools": [*config["tools"], {"systemTool": {"name": name}}]}
