"""The clients with which AWS is asked."""

from typing import Any, Protocol

import boto3
from botocore.config import Config


class Clients(Protocol):
    """Makes boto3 clients."""

    def __call__(self, service: str, region: str = "") -> Any:
        """One client of a service, by its name, in a region; in the environment's own unless another is named."""


def aws_clients(region: str) -> Clients:
    """Clients with the credentials that AWS's own tools would find, in one region unless another is asked for."""
    config = Config(retries={"mode": "standard", "max_attempts": 8})
    own = region

    def client(service: str, region: str = "") -> Any:
        return boto3.client(service, region_name=region or own, config=config)

    return client
