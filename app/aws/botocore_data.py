"""Reads botocore's data and AWS's configuration files, in a subprocess or in part."""

import os
import subprocess  # our own program, with our own arguments  # nosec B404
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


class _Output(TypedDict, total=False):
    profiles: list[str]
    endpoints: list[str]
    url: str
    message: str


_CHAIN = Path(__file__).with_name("credential_chain.py")
_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}


@cache
def bedrock_regions() -> tuple[str, ...]:
    """Return the regions of all partitions where botocore's data lists Bedrock.

    It lists the service as `bedrock`, and none as `bedrock-runtime` (botocore 1.44.8). Only that part is decoded: all
    of the file would take 11 MB for the life of the process.
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


def chain_command(*arguments: str) -> list[str]:
    """Make the command line of `app/aws/credential_chain.py`."""
    return [sys.executable or "python3", "-P", str(_CHAIN), *arguments]


def available_profiles() -> list[str]:
    """Return the profiles of AWS's configuration files.

    Raises:
        ValueError: the files cannot be read.
    """
    files = (os.path.expandvars(os.environ.get(name) or default) for name, default in _FILES.items())
    # unlike these, `Path` raises if the home directory is unknown or unreadable
    is_there = any(os.path.exists(os.path.expanduser(file)) for file in files)  # noqa: PTH110, PTH111
    return _run("profiles")["profiles"] if is_there else []


def endpoints(locations: Sequence[tuple[str, str]]) -> list[str]:
    """Return the base URLs that botocore would use, in the order of `locations`.

    FIPS and dual-stack switches, partitions, and a profile's `endpoint_url` are respected.

    Args:
        locations: services and regions.

    Raises:
        ValueError: there is no such endpoint, or AWS's configuration files cannot be read.
    """
    return _run("endpoints", *(name for location in locations for name in location))["endpoints"] if locations else []


def presigned_url(service: str, region: str, url: str, header: tuple[str, str]) -> str:
    """Sign a GET request and its header with the credentials of botocore's chain; returns its URL.

    Raises:
        ValueError: there are no credentials, or they cannot be found.
    """
    signed = _run("presigned", service, region, url, *header).get("url")
    if not signed:
        raise ValueError("no AWS credentials found in the environment, profile or metadata")
    return signed


def _run(*arguments: str) -> _Output:
    try:
        command = chain_command(*arguments)
        process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)  # noqa: S603 # nosec B603
        output = json.loads_as(process.stdout, _Output)
    except (OSError, subprocess.SubprocessError, json.JsonError) as error:
        raise ValueError(f"botocore could not be run ({type(error).__name__})") from None
    if "message" in output:
        raise ValueError(output["message"])
    return output
