"""Authentication: SigV4, verified with botocore's own signer, or a bearer key.

Wordings: aws-erlang#161, bedrock-access-gateway#163, gptel#1397, litellm#37905, open-science#53.
"""

import hashlib
import hmac
from calendar import timegm
from time import strptime, time
from urllib.parse import parse_qsl

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.emulator.errors import ServiceError

_MAX_SKEW_SECONDS = 300


class Authenticator:
    """Authenticates callers.

    Args:
        secrets: secret access keys by access key id. bearer_keys: accepted bearer keys.
    """

    def __init__(self, secrets: dict[str, str], bearer_keys: frozenset[str]) -> None:
        self._secrets = secrets
        self._bearer_keys = bearer_keys

    def authenticate(self, method: str, url: str, headers: dict[str, str], body: bytes) -> str:
        """Accept or refuse a request; returns the service that its signature names, or "" for a bearer key.

        Args:
            url: scheme, host, raw path and query, as in the request line. headers: names in lower case.

        Raises:
            ServiceError: the request is refused.
        """
        authorization = headers.get("authorization", "")
        if not authorization:
            raise ServiceError("AccessDeniedException", "Authorization header is missing", is_front_end=True)
        if authorization.startswith("Bearer "):
            if authorization.removeprefix("Bearer ").strip() not in self._bearer_keys:
                raise ServiceError(
                    "AccessDeniedException",
                    "Authentication failed: Please make sure your API Key is valid.",
                    is_front_end=True,
                )
            return ""
        return self._verify_signature(method, url, headers, body)

    def _verify_signature(self, method: str, url: str, headers: dict[str, str], body: bytes) -> str:
        fields = _authorization_fields(headers["authorization"])
        access_key, _, scope = fields.get("Credential", "").partition("/")
        signed_names = fields.get("SignedHeaders", "").split(";")
        if access_key not in self._secrets or scope.count("/") != 3:
            raise _unknown_key()
        _, region, service, _ = scope.split("/")
        if service not in ("bedrock", "bedrock-mantle") or not {"host", "x-amz-date"} <= set(signed_names):
            raise _mismatch()
        timestamp = headers.get("x-amz-date", "")
        _check_time(timestamp)
        signer = SigV4Auth(Credentials(access_key, self._secrets[access_key]), service, region)
        # botocore trusts this header for the hash of the body; here it must match the body
        payload_hash = hashlib.sha256(body).hexdigest()
        if headers.get("x-amz-content-sha256", payload_hash) != payload_hash:
            raise _mismatch()
        signed = {name: headers.get(name, "") for name in signed_names}
        request = AWSRequest(method=method, url=url, data=body, headers=signed)
        request.context["timestamp"] = timestamp
        canonical = signer.canonical_request(_with_query(request, url))
        expected = signer.signature(signer.string_to_sign(request, canonical), request)
        if not hmac.compare_digest(expected.encode(), fields.get("Signature", "").encode()):
            raise _mismatch()
        return service


def _authorization_fields(authorization: str) -> dict[str, str]:
    parts = (part.strip().partition("=") for part in authorization.partition(" ")[2].split(",") if "=" in part)
    return {name: value for name, _, value in parts}


def _with_query(request: AWSRequest, url: str) -> AWSRequest:
    """Pass the query to botocore as decoded parameters, as its clients do."""
    base, _, query = url.partition("?")
    request.url = base
    # pairs, since a name may occur twice
    request.params = parse_qsl(query, keep_blank_values=True)
    return request


def _check_time(timestamp: str) -> None:
    try:
        signed_at = timegm(strptime(timestamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise _unknown_key() from None
    if abs(time() - signed_at) > _MAX_SKEW_SECONDS:
        raise ServiceError("InvalidSignatureException", f"Signature expired: {timestamp} is more than 5 min. away.")


def _mismatch() -> ServiceError:
    return ServiceError(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
        "Access Key and signing method. Consult the service documentation for details.",
    )


def _unknown_key() -> ServiceError:
    return ServiceError("UnrecognizedClientException", "The security token included in the request is invalid.")
