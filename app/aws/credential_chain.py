"""Asks botocore in a process of its own, started by its path with its caller's environment; prints one JSON object.

    credential_chain.py profiles | endpoints SERVICE REGION [SERVICE REGION]... | identity REGION | role REGION ARN

botocore keeps its memory for the life of the process that loads it, is needed rarely, and a provider of its chain that
hangs can be ended only with its process: docs/adr/0002-boto3-off-the-request-path.md.
"""

import json
import sys
from typing import Any


def answer(question: str, *arguments: str) -> dict[str, Any]:
    """What botocore says.

    Returns:
        `profiles`: their names. `endpoints`: their base URLs, in the order of the question. Else the members of an
        identity, none where nobody is known; `ends_at` in seconds since the epoch, None where no end is known.
    """
    match question:
        case "profiles":
            return {"profiles": _profiles()}
        case "endpoints":
            asked = zip(arguments[::2], arguments[1::2], strict=True)
            return {"endpoints": [_endpoint(service, region) for service, region in asked]}
        case "identity":
            return _identity(*arguments)
        case _:
            return _role(*arguments)


def _profiles() -> list[str]:
    import botocore.session

    # a session without the user's profile, which may be wrong
    session = botocore.session.Session({"profile": (None, [], None, None)}, include_builtin_handlers=False)
    return sorted(session.available_profiles)


def _endpoint(service: str, region: str) -> str:
    """What a client of botocore would be given, without the 20 MB that the models of two services take."""
    from botocore.configprovider import ConfiguredEndpointProvider
    from botocore.endpoint_provider import EndpointProvider
    from botocore.session import Session

    session = Session(include_builtin_handlers=False)
    if not session.get_config_variable("ignore_configured_endpoint_urls"):
        configured = ConfiguredEndpointProvider(
            full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name=service
        ).provide()
        if configured:
            return str(configured)
    loader = session.get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    provider = EndpointProvider(rules, loader.load_data("partitions"))
    endpoint = provider.resolve_endpoint(
        Region=region,
        UseDualStack=bool(session.get_config_variable("use_dualstack_endpoint")),
        UseFIPS=bool(session.get_config_variable("use_fips_endpoint")),
    )
    return str(endpoint.url)


def _identity(region: str) -> dict[str, Any]:
    import botocore.session

    session = botocore.session.Session()
    session.set_config_variable("region", region)
    credentials = session.get_credentials()
    frozen = credentials.get_frozen_credentials() if credentials is not None else None
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        return {}
    # only credentials that are refreshed have it, and nothing public tells of it
    end = getattr(credentials, "_expiry_time", None)
    return {
        "access_key": frozen.access_key,
        "secret_key": frozen.secret_key,
        "token": frozen.token,
        "ends_at": end.timestamp() if end is not None else None,
    }


def _role(region: str, role: str) -> dict[str, Any]:
    import botocore.session
    from botocore.config import Config

    timeout = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    sts = botocore.session.Session().create_client("sts", region_name=region, config=timeout)
    made = sts.assume_role(RoleArn=role, RoleSessionName="outcrop")["Credentials"]
    return {
        "access_key": made["AccessKeyId"],
        "secret_key": made["SecretAccessKey"],
        "token": made["SessionToken"],
        "ends_at": made["Expiration"].timestamp(),
    }


def main() -> None:
    """Answer the question of the command line. Where botocore raises something, its kind and its words are told."""
    try:
        said = answer(*sys.argv[1:])
    except Exception as error:  # noqa: BLE001 -- botocore's providers raise what they like
        said = {"fault": type(error).__name__, "words": str(error)}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
