#!/usr/bin/env bash
# Builds the image with docker, podman or buildah, prints its size by layer, and fails over the budget.
#
#   ./build_docker.sh [--tag NAME] [--python 3.13] [--target release|debug] [--platform LIST] [--test]
#
# --test starts the result under the hard flags (read-only, no capabilities, memory limit) and checks it; needs docker or
# podman. ENGINE chooses one where there are several. BUILD_OPTIONS and RUN_OPTIONS are handed to it as they are, where a
# machine needs something special.
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh

tag=outcrop:local python=3.13 target=release platform="" test=no
while [ $# -gt 0 ]; do
  case $1 in
  --tag) tag=$2 && shift 2 ;;
  --python) python=$2 && shift 2 ;;
  --target) target=$2 && shift 2 ;;
  --platform) platform=$2 && shift 2 ;;
  --test) test=yes && shift ;;
  *) stop "unknown argument $1: see the head of build_docker.sh" ;;
  esac
done

builder=$(command -v "${ENGINE:-docker}" || command -v buildah || command -v podman) ||
  stop "docker, podman or buildah is needed to build an image, and none is installed"
read -ra build_options <<<"${BUILD_OPTIONS:-}"
read -ra run_options <<<"${RUN_OPTIONS:-}"
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' app/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
build_options+=(--build-arg "PYTHON=$python" --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
build_options+=(--target "$target" --tag "$tag")
[ -n "$platform" ] && build_options+=(--platform "$platform")

# Without these, buildah and podman ask for more than a container in a container may have.
hard() { local most && most=$(ulimit "-H$1") && most=${most/unlimited/-1} && echo "$most:$most"; }
limits=(--ulimit "nofile=$(hard n)" --ulimit "nproc=$(hard u)")

started=$SECONDS
say "building $tag ($target, Python $python) with $(basename "$builder")"
case $(basename "$builder") in
# Only docker's own format keeps the health check, and only with --layers does buildah keep what it built before.
buildah) buildah build --layers --format docker "${limits[@]}" "${build_options[@]}" . ;;
podman) podman build --layers --format docker "${limits[@]}" "${build_options[@]}" . ;;
# An attestation in each build would push three images for one, and a registry keeps 50; release.yml attests its own.
docker) BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build "${build_options[@]}" . ;;
esac
say "built in $((SECONDS - started)) s"

archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
case $(basename "$builder") in
buildah) buildah push --quiet "$tag" "docker-archive:$archive" ;;
*) "$builder" save --output "$archive" "$tag" ;;
esac
case $target in
release) python3 docker/measure.py "$archive" ;;
*) python3 docker/measure.py "$archive" --raw 1000 --gzip 400 ;;
esac

if [ $test = yes ]; then
  case $(basename "$builder") in
  docker) runner=docker ;;
  *) runner=$(command -v podman) ;;
  esac || stop "docker or podman is needed to run an image"
  say "checking $tag with $(basename "$runner")"
  # Python 3.14 takes 9 MB more for the same modules
  idle=80 && [ "$python" = 3.14 ] && idle=90
  PYTHONPATH=. python3 docker/check.py "$runner" "$tag" $idle "${run_options[@]}"
fi
