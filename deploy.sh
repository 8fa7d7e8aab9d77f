#!/usr/bin/env bash
# Builds, verifies and deploys an image to AWS, rolls back to the previous one, or prints the state of an environment.
#
#   ./deploy.sh deploy|build|verify|rollback|status --environment NAME [--image REPOSITORY@sha256:DIGEST] [--dry-run]
#
# ./deploy.sh --help lists all options. Needs Python 3.11 to 3.14, and to build an image docker, podman or buildah.
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh

prepare requirements.txt
exec .venv/bin/python -m scripts.deploy "$@"
