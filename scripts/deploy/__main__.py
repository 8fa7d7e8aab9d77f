"""Brings an image into service, and back.

deploy    builds this tree (or takes --image), pushes it, changes the stack, waits, asks the gateway, and rolls back by
          itself when it does not serve. Can be repeated and interrupted: AWS changes the stack, whole or not at all.
rollback  brings the image that ran before back into service.
status    tells how the environment stands, and asks the gateway.
"""

import argparse
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from scripts.deploy.clients import aws_clients
from scripts.deploy.commands import TEMPLATE, Deployment, explain
from scripts.deploy.environment import load_environment
from scripts.deploy.progress import DeployError, Progress

IMAGE = "REPOSITORY@sha256:DIGEST in a repository that the environment trusts, instead of one built from this tree"


def main() -> int:
    """Run the command line; returns 0 when it serves, 1 when it does not, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="./deploy.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["deploy", "rollback", "status"])
    parser.add_argument("--environment", required=True, help="a name in infra/environments, or the path of such a file")
    parser.add_argument("--image", default="", help=IMAGE)
    parser.add_argument("--template", type=Path, default=TEMPLATE, help=f"the stack's template ({TEMPLATE})")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--patience", type=float, default=3600, help="seconds that a change of the stack may take")
    options = parser.parse_args()
    progress = Progress()
    try:
        environment = load_environment(options.environment)
        deployment = Deployment(
            environment, progress, aws_clients(environment.region), options.template, options.patience
        )
        deployment.check_account()
        match options.command:
            case "deploy":
                deployment.deploy(options.image, dry_run=options.dry_run)
            case "rollback":
                deployment.rollback(dry_run=options.dry_run)
            case _:
                deployment.status()
    except (DeployError, ClientError, BotoCoreError, OSError) as error:
        failure = _failure(error)
        progress.say(f"FAILED: {failure}")
        progress.say(f"what to do: {failure.remedy}")
        return 1
    except KeyboardInterrupt:
        progress.say(
            "interrupted. A change that AWS has begun goes on there: ./deploy.sh status; deploying again waits for it"
        )
        return 130
    return 0


def _failure(error: Exception) -> DeployError:
    if isinstance(error, DeployError):
        return error
    if isinstance(error, ClientError):
        return explain(error)
    if isinstance(error, OSError):
        return DeployError(str(error), "is this a checkout, and are the tools named above installed?")
    return DeployError(f"AWS cannot be asked: {error}", "log in, or set AWS_PROFILE; is the network there?")


if __name__ == "__main__":
    sys.exit(main())
