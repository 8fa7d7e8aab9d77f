"""Who may call: SigV4, verified with botocore's own signer as a second opinion, or a bearer key.

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

MAX_SKEW_SECONDS = 300


class Gate:
    """Lets callers in.

    Args:
        pairs: secret access keys by access key id. bearers: accepted bearer keys.
    """

    def __init__(self, pairs: dict[str, str], bearers: frozenset[str]) -> None:
        self._pairs = pairs
        self._bearers = bearers

    def check(self, method: str, url: str, headers: dict[str, str], body: bytes) -> str:
        """Let a request pass, or refuse it; the service that its signature names, if it has one.

        Args:
            url: scheme, host, raw path and query, as the request line had them. headers: names in lower case.

        Raises:
            ServiceError: in AWS's words.
        """
        authorization = headers.get("authorization", "")
        if not authorization:
            raise ServiceError("AccessDeniedException", "Authorization header is missing", is_front_end=True)
        if authorization.startswith("Bearer "):
            if authorization.removeprefix("Bearer ").strip() not in self._bearers:
                raise ServiceError(
                    "AccessDeniedException",
                    "Authentication failed: Please make sure your API Key is valid.",
                    is_front_end=True,
                )
            return ""
        return self._check_signature(method, url, headers, body)

    def _check_signature(self, method: str, url: str, headers: dict[str, str], body: bytes) -> str:
        fields = dict(
            part.strip().partition("=")[::2]
            for part in headers["authorization"].partition(" ")[2].split(",")
            if "=" in part
        )
        access_key, _, scope = fields.get("Credential", "").partition("/")
        names = fields.get("SignedHeaders", "").split(";")
        if access_key not in self._pairs or scope.count("/") != 3:
            raise _unknown_key()
        _, region, service, _ = scope.split("/")
        if service not in ("bedrock", "bedrock-mantle") or not {"host", "x-amz-date"} <= set(names):
            raise _mismatch()
        timestamp = headers.get("x-amz-date", "")
        _check_time(timestamp)
        signer = SigV4Auth(Credentials(access_key, self._pairs[access_key]), service, region)
        # botocore takes the hash of the body from this header where it is; here the body itself must be right.
        payload_hash = hashlib.sha256(body).hexdigest()
        if headers.get("x-amz-content-sha256", payload_hash) != payload_hash:
            raise _mismatch()
        signed = {name: headers.get(name, "") for name in names}
        request = AWSRequest(method=method, url=url, data=body, headers=signed)
        request.context["timestamp"] = timestamp
        canonical = signer.canonical_request(_with_query(request, url))
        expected = signer.signature(signer.string_to_sign(request, canonical), request)
        if not hmac.compare_digest(expected.encode(), fields.get("Signature", "").encode()):
            raise _mismatch()
        return service


def _mismatch() -> ServiceError:
    return ServiceError(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
        "Access Key and signing method. Consult the service documentation for details.",
    )


def _with_query(request: AWSRequest, url: str) -> AWSRequest:
    """Hand the query to botocore as parameters, decoded, as its clients do."""
    base, _, query = url.partition("?")
    request.url = base
    # pairs, since a name may come twice
    request.params = parse_qsl(query, keep_blank_values=True)
    return request


def _check_time(timestamp: str) -> None:
    try:
        moment = timegm(strptime(timestamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise _unknown_key() from None
    if abs(time() - moment) > MAX_SKEW_SECONDS:
        raise ServiceError("InvalidSignatureException", f"Signature expired: {timestamp} is more than 5 min. away.")


def _unknown_key() -> ServiceError:
    return ServiceError("UnrecognizedClientException", "The security token included in the request is invalid.")
