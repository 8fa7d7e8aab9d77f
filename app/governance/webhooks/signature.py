"""Signs webhooks as Standard Webhooks does, for which many languages have a library that verifies."""

import base64
import hashlib
import hmac


def signed_headers(key: bytes, identifier: str, seconds: int, body: bytes) -> list[tuple[str, str]]:
    """Return the headers of a webhook.

    Args:
        identifier: the same for each attempt. seconds: the time of this attempt, since the epoch.
    """
    content = f"{identifier}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return [
        ("content-type", "application/json"),
        ("webhook-id", identifier),
        ("webhook-timestamp", str(seconds)),
        ("webhook-signature", f"v1,{signature}"),
    ]
