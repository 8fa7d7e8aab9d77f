"""`outcrop token`: prints what callers send as their key."""

import sys

import click

from app.aws.botocore_data import presigned_url
from app.governance.identity.sts import GATEWAY_HEADER, token_of, url_to_sign


@click.group("token")
def command() -> None:
    """Print what a caller without a key sends as its key."""


@command.command("iam")
@click.option("--gateway", required=True, help="The gateway's name, as its operator set it: `[identity.iam] gateway`.")
@click.option(
    "--region",
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    required=True,
    help="The region whose STS the gateway asks. AWS_REGION by default.",
)
def iam(gateway: str, region: str) -> None:
    """Print a token for your AWS credentials, which is valid for 15 minutes."""
    try:
        url = presigned_url("sts", region, url_to_sign(region), (GATEWAY_HEADER, gateway))
    except ValueError as error:
        sys.stderr.write(f"no token can be made: {error}\n")
        raise SystemExit(1) from None
    click.echo(token_of(url))
