"""What the makers and the verifier of IAM tokens agree on."""

import base64
from urllib.parse import urlencode

# the token: this, and the presigned URL in base64url without padding
PREFIX = "outcrop-iam."
# a signed header that names the gateway: a signature for another service is of no use here, nor one for here elsewhere
GATEWAY_HEADER = "x-outcrop-gateway"
QUERY = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
# domains of the partitions, by the first part of a region's name (botocore 1.44, partitions.json)
_DOMAINS = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}


def sts_host(region: str) -> str:
    """Return the host of STS in a region."""
    return f"sts.{region}.{_DOMAINS.get(region.partition('-')[0], 'amazonaws.com')}"


def url_to_sign(region: str) -> str:
    """Return the URL that the caller signs, with the header `GATEWAY_HEADER`."""
    return f"https://{sts_host(region)}/?{urlencode(QUERY)}"


def token_of(presigned_url: str) -> str:
    """Return the token that stands for a signed URL."""
    return PREFIX + base64.urlsafe_b64encode(presigned_url.encode()).rstrip(b"=").decode()
