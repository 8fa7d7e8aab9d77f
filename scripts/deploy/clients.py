"""Makes the boto3 clients of a deployment."""

from typing import Any, Protocol

import boto3
from botocore.config import Config


class Clients(Protocol):
    """Returns boto3 clients."""

    def __call__(self, service: str, region: str = "") -> Any:
        """Return the client of a service in `region`, by default the region of the environment."""


def aws_clients(region: str) -> Clients:
    """Make clients for `region` with the credentials that the AWS CLI would use."""
    config = Config(retries={"mode": "standard", "max_attempts": 8})
    own = region

    def client(service: str, region: str = "") -> Any:
        return boto3.client(service, region_name=region or own, config=config)

    return client
