"""Signs the tokens with which RDS and Aurora authenticate users of IAM.

A token is a presigned request that is never sent. It is valid for 15 minutes, and is needed only to connect. Source:
the RDS user guide, "IAM database authentication"; tests/storage/test_iam_token.py compares it with botocore's.
"""

import time
from urllib.parse import quote

from msgspec import Struct

from app.wire import sigv4

_SERVICE = "rds-db"
_SECONDS = 900


class IamUser(Struct, frozen=True):
    """A user of a database. region: that of the database."""

    host: str
    port: int
    name: str
    region: str

    def token(self, access_key: str, secret_key: str, session_token: str | None, moment: float | None = None) -> str:
        """Return the password of this user.

        Args:
            moment: seconds since the epoch; None for now.
        """
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
        scope = f"{timestamp[:8]}/{self.region}/{_SERVICE}/aws4_request"
        members = {
            "Action": "connect",
            "DBUser": self.name,
            "X-Amz-Algorithm": sigv4.ALGORITHM,
            "X-Amz-Credential": f"{access_key}/{scope}",
            "X-Amz-Date": timestamp,
            "X-Amz-Expires": str(_SECONDS),
            "X-Amz-SignedHeaders": "host",
        }
        if session_token:
            members["X-Amz-Security-Token"] = session_token
        query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in members.items())
        host = f"{self.host}:{self.port}"
        canonical, _ = sigv4.canonical_request("GET", "/", query, [("host", host)], sigv4.sha256_hex(b""))
        key = sigv4.signing_key(secret_key, timestamp[:8], self.region, _SERVICE)
        return f"{host}/?{query}&X-Amz-Signature={sigv4.signature(key, timestamp, scope, canonical)}"
