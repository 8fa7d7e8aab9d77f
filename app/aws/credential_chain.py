"""Runs botocore in a process of its own, with the caller's environment, and prints one JSON object.

    credential_chain.py profiles | endpoints SERVICE REGION [SERVICE REGION]... | identity REGION | role REGION ARN |
        presigned SERVICE REGION URL HEADER VALUE

botocore is needed rarely, and its memory is freed only with its process; so is a credential provider that hangs:
docs/adr/0002-boto3-off-the-request-path.md.
"""

import json
import sys

_PRESIGNED_SECONDS = 900


def run(command: str, *arguments: str) -> dict[str, object]:
    """Run a command.

    Returns:
        `profiles`: their names. `endpoints`: their base URLs, in the order of the arguments. `presigned`: the URL of a
        GET request that is valid for 15 minutes, with a header; none without credentials. Else the members of an
        identity, or none without credentials; `ends_at`: seconds since the epoch, None if they do not expire.
    """
    match command:
        case "profiles":
            return {"profiles": _profiles()}
        case "endpoints":
            pairs = zip(arguments[::2], arguments[1::2], strict=True)
            return {"endpoints": [_endpoint(service, region) for service, region in pairs]}
        case "identity":
            return _identity(*arguments)
        case "presigned":
            return _presigned(*arguments)
        case _:
            return _role(*arguments)


def _profiles() -> list[str]:
    import botocore.session

    # a session without the user's profile, which may not exist
    session = botocore.session.Session({"profile": (None, [], None, None)}, include_builtin_handlers=False)
    return sorted(session.available_profiles)


def _endpoint(service: str, region: str) -> str:
    """Resolve an endpoint as a client of botocore does, without the 20 MB of two service models."""
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


def _identity(region: str) -> dict[str, object]:
    import botocore.session

    session = botocore.session.Session()
    session.set_config_variable("region", region)
    credentials = session.get_credentials()
    frozen = credentials.get_frozen_credentials() if credentials is not None else None
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        return {}
    # only credentials that are refreshed have it; there is no public attribute
    end = getattr(credentials, "_expiry_time", None)
    return {
        "access_key": frozen.access_key,
        "secret_key": frozen.secret_key,
        "token": frozen.token,
        "ends_at": end.timestamp() if end is not None else None,
    }


def _presigned(service: str, region: str, url: str, header: str, value: str) -> dict[str, object]:
    import botocore.session
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    session = botocore.session.Session()
    session.set_config_variable("region", region)
    credentials = session.get_credentials()
    if credentials is None:
        return {}
    request = AWSRequest("GET", url, headers={header: value})
    SigV4QueryAuth(credentials.get_frozen_credentials(), service, region, _PRESIGNED_SECONDS).add_auth(request)
    return {"url": request.url}


def _role(region: str, role: str) -> dict[str, object]:
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
    """Run the command of the command line. Of an exception, print the type and the message."""
    try:
        output = run(*sys.argv[1:])
    except Exception as error:  # noqa: BLE001 -- botocore's providers raise any exception
        output = {"fault": type(error).__name__, "message": str(error)}
    json.dump(output, sys.stdout)


if __name__ == "__main__":
    main()
