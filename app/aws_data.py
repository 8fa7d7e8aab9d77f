"""What botocore's own data and AWS's configuration files say, without the cost of a client."""

from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from app.kit import json


class _Anything(TypedDict):
    pass


class _Listing(TypedDict):
    endpoints: dict[str, _Anything]


class _Services(TypedDict, total=False):
    bedrock: _Listing


class _Partition(TypedDict):
    regions: dict[str, _Anything]
    services: _Services


class _Endpoints(TypedDict):
    partitions: list[_Partition]


@cache
def bedrock_regions() -> tuple[str, ...]:
    """The regions of all partitions where botocore's own data has Bedrock.

    It lists the service as `bedrock`; under `bedrock-runtime` it lists none (botocore 1.44.8). Only that is read: the
    whole file would take 11 MB for the life of the process.
    """
    import botocore

    data = (Path(botocore.__file__).parent / "data" / "endpoints.json").read_bytes()
    regions = {
        region
        for partition in json.loads_as(data, _Endpoints)["partitions"]
        if "bedrock" in partition["services"]
        for region in partition["services"]["bedrock"]["endpoints"]
        if region in partition["regions"]
    }
    return tuple(sorted(regions))


def _without_profile() -> Any:
    """A session that reads files and sends nothing, without the user's profile, which may be wrong."""
    import botocore.session

    return botocore.session.Session({"profile": (None, [], None, None)}, include_builtin_handlers=False)


def available_profiles() -> list[str]:
    """The profiles of AWS's configuration files. Raises BotoCoreError where they cannot be read."""
    return sorted(_without_profile().available_profiles)
