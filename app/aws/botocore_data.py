"""What botocore's own data and AWS's configuration files say, at no cost that lasts."""

import os
import subprocess  # our own program, with words of our own  # nosec B404
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

from app.wire import json


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


class _Said(TypedDict, total=False):
    profiles: list[str]
    endpoints: list[str]
    words: str


_CHAIN = Path(__file__).with_name("credential_chain.py")
_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}


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


def chain_command(*question: str) -> list[str]:
    """The command that asks botocore; see `app/aws/credential_chain.py`."""
    return [sys.executable or "python3", "-P", str(_CHAIN), *question]


def available_profiles() -> list[str]:
    """The profiles of AWS's configuration files.

    Raises:
        ValueError: they cannot be read.
    """
    files = (os.path.expandvars(os.environ.get(name) or usual) for name, usual in _FILES.items())
    # `Path` raises where a home cannot be found, or may not be looked into
    is_there = any(os.path.exists(os.path.expanduser(file)) for file in files)  # noqa: PTH110, PTH111
    return _said("profiles")["profiles"] if is_there else []


def endpoints(locations: Sequence[tuple[str, str]]) -> list[str]:
    """Where botocore would send what is for a service in a region.

    It knows FIPS and dual-stack switches, partitions, and `endpoint_url` of a profile.

    Args:
        places: services and regions.

    Raises:
        ValueError: there is no such endpoint, or AWS's configuration files cannot be read.
    """
    return _said("endpoints", *(name for location in locations for name in location))["endpoints"] if locations else []


def _said(*question: str) -> _Said:
    try:
        command = chain_command(*question)
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)  # noqa: S603 # nosec B603
        said = json.loads_as(asked.stdout, _Said)
    except (OSError, subprocess.SubprocessError, json.JsonError) as error:
        raise ValueError(f"botocore cannot be asked ({type(error).__name__})") from None
    if "words" in said:
        raise ValueError(said["words"])
    return said
