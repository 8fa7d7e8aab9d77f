"""Builds, verifies and deploys an image to AWS, rolls back to the previous one, or prints the state of an environment.

deploy    builds and pushes an image of this tree (or takes --image), migrates the database with it if there is one,
          changes the stack, waits for the end, and runs the smoke test. If that fails, it rolls back. It can be
          repeated and interrupted: AWS applies a change of the stack completely or not at all.
build     builds and pushes an image of this tree, and prints it by digest.
verify    verifies the attestations of --image: how it was built, and what it contains.
rollback  deploys the previous image again.
status    prints the state of the environment, and runs the smoke test.
"""

import argparse
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from scripts.deploy.clients import aws_clients
from scripts.deploy.commands import TEMPLATE, Deployment, explain
from scripts.deploy.environment import load_environment
from scripts.deploy.progress import DeployError, Progress

IMAGE = "REPOSITORY@sha256:DIGEST, from a repository that the environment trusts, instead of an image of this tree"


def main() -> int:
    """Run the command line; return 0 if the gateway works, 1 if not, 130 if interrupted."""
    parser = argparse.ArgumentParser(
        prog="./deploy.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["deploy", "build", "verify", "rollback", "status"])
    parser.add_argument("--environment", required=True, help="name of a file in infra/environments, or a path")
    parser.add_argument("--image", default="", help=IMAGE)
    parser.add_argument(
        "--attestations-from",
        default="",
        metavar="OWNER/NAME",
        help="for verify: repository on GitHub that must have attested the image, if the environment names none",
    )
    parser.add_argument("--template", type=Path, default=TEMPLATE, help=f"template of the stack (default {TEMPLATE})")
    parser.add_argument("--dry-run", action="store_true", help="print the changes without making them")
    parser.add_argument("--timeout", type=float, default=3600, help="maximum seconds for a change of the stack")
    options = parser.parse_args()
    progress = Progress()
    try:
        environment = load_environment(options.environment)
        deployment = Deployment(
            environment, progress, aws_clients(environment.region), options.template, options.timeout
        )
        deployment.check_account()
        match options.command:
            case "deploy":
                deployment.deploy(options.image, dry_run=options.dry_run)
            case "build":
                deployment.build()
            case "verify":
                deployment.verify(options.image, options.attestations_from)
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
            "interrupted: AWS continues a change that has started. See ./deploy.sh status; a later deploy waits for it"
        )
        return 130
    return 0


def _failure(error: Exception) -> DeployError:
    if isinstance(error, DeployError):
        return error
    if isinstance(error, ClientError):
        return explain(error)
    if isinstance(error, OSError):
        return DeployError(str(error), "run it in a checkout of the repository, and install the programs named above")
    return DeployError(f"no response from AWS: {error}", "log in or set AWS_PROFILE, and check the network")


if __name__ == "__main__":
    sys.exit(main())
