#!/usr/bin/env bash
# Builds the image with docker, podman or buildah, prints the size of its layers, and fails if it exceeds the budget.
#
#   ./build_docker.sh [--tag NAME] [--python 3.13] [--target release|debug] [--platform LIST] [--brief] [--test]
#
#   --brief  leaves out what each library adds to the image
#   --test   also runs the image read-only, without capabilities and with a memory limit, and checks it (docker or podman)
#
# Environment: ENGINE names the program, if several are installed. BUILD_OPTIONS and RUN_OPTIONS are added to its commands.
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh

tag=outcrop:local python=3.13 target=release platform="" test=no listing=""
while [ $# -gt 0 ]; do
  case $1 in
  --tag) tag=$2 && shift 2 ;;
  --python) python=$2 && shift 2 ;;
  --target) target=$2 && shift 2 ;;
  --platform) platform=$2 && shift 2 ;;
  --test) test=yes && shift ;;
  --brief) listing=--no-libraries && shift ;;
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' build_docker.sh && exit ;;
  *) stop "unknown argument $1: see ./build_docker.sh --help" ;;
  esac
done

builder=$(command -v "${ENGINE:-docker}" || command -v buildah || command -v podman) ||
  stop "no program to build an image: install docker, podman or buildah"
read -ra build_options <<<"${BUILD_OPTIONS:-}"
read -ra run_options <<<"${RUN_OPTIONS:-}"
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' app/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
build_options+=(--build-arg "PYTHON=$python" --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
build_options+=(--target "$target" --tag "$tag")
[ -n "$platform" ] && build_options+=(--platform "$platform")

# Inside a container, buildah and podman must not raise these limits above the hard limits.
hard_limit() { local limit && limit=$(ulimit "-H$1") && limit=${limit/unlimited/-1} && echo "$limit:$limit"; }
limits=(--ulimit "nofile=$(hard_limit n)" --ulimit "nproc=$(hard_limit u)")

started=$SECONDS
say "building $tag ($target, Python $python) with $(basename "$builder")"
case $(basename "$builder") in
# Only the docker format has a health check. Without --layers, buildah caches nothing.
buildah) buildah build --layers --format docker "${limits[@]}" "${build_options[@]}" . ;;
podman) podman build --layers --format docker "${limits[@]}" "${build_options[@]}" . ;;
# GitHub stores the attestations, which deploy.yml and release.yml create: a registry keeps only images.
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
release) python3 docker/measure.py "$archive" $listing ;;
*) python3 docker/measure.py "$archive" --raw 1000 --gzip 400 $listing ;;
esac

if [ $test = yes ]; then
  case $(basename "$builder") in
  docker) runner=docker ;;
  *) runner=$(command -v podman) ;;
  esac || stop "no program to run the image: install docker or podman, or leave out --test"
  say "checking $tag with $(basename "$runner")"
  # megabytes; the same modules take 9 MB more on Python 3.14
  idle=80 && [ "$python" = 3.14 ] && idle=90
  PYTHONPATH=. python3 docker/check.py "$runner" "$tag" $idle "${run_options[@]}"
fi
