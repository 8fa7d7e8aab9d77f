#!/usr/bin/env bash
# Brings an image into service, and back: ./deploy.sh deploy|rollback|status --environment NAME [--image ...] [--dry-run]
# ./deploy.sh --help says more. Needs Python, and docker or buildah and podman where an image is built.
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh

prepare requirements.txt
exec .venv/bin/python -m scripts.deploy "$@"
