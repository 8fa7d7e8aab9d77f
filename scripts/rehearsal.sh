# shellcheck shell=bash
# Sourced by run_tests.sh: builds and checks the image, then rehearses a deployment from an empty account to a rollback.
#
# Where no registry can be reached, debootstrap makes replacements of the official base images.

rehearse() {
  install_image_tools
  # the replacements are in buildah's storage
  export ENGINE=buildah
  export BUILD_OPTIONS="--isolation chroot --pull=never -v $certificates:$certificates:ro"
  # without cgroup v2, as in many containers, podman needs these options
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    export RUN_OPTIONS="--runtime /usr/sbin/runc --cgroup-manager cgroupfs" PODMAN_IGNORE_CGROUPSV1_WARNING=1
  fi
  local options=$BUILD_OPTIONS
  ensure_base_image 3.14 forky
  export BUILD_OPTIONS="$options $base"
  step "image on Python 3.14" ./build_docker.sh --tag outcrop:rehearsal-3.14 --python 3.14 --test
  ensure_base_image 3.13 trixie
  export BUILD_OPTIONS="$options $base"
  step "image" ./build_docker.sh --tag outcrop:rehearsal --test
  step "second build after a change in app/" build_after_change
  step "rehearsal" python -m tests.rehearsal outcrop:rehearsal
  say "1 passed, 0 failed"
}

certificates=/etc/ssl/certs/ca-certificates.crt

install_image_tools() {
  local tool missing=()
  for tool in buildah podman runc conmon skopeo debootstrap; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  [ ${#missing[@]} = 0 ] && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    stop "not installed: ${missing[*]}: install them, or run this as root on Debian"
  fi
  say "installing ${missing[*]}"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
}

# ensure_base_image PYTHON SUITE: pulls the base image that the Dockerfile pins by digest. If that fails, makes a replacement
# from a Debian suite, and sets `base` to the build option that selects it.
ensure_base_image() {
  local name=docker.io/library/python:$1-slim folder pinned
  pinned=$(sed -n "s|^FROM \($name@\S*\) AS .*|\1|p" Dockerfile)
  base=""
  buildah inspect --type image "$pinned" >/dev/null 2>&1 && return
  timeout 60 buildah pull --quiet --retry 0 "$pinned" >/dev/null 2>&1 && return
  base="--build-arg BASE=$name"
  buildah inspect --type image "$name" >/dev/null 2>&1 && return
  say "$pinned cannot be pulled: making a replacement from Debian $2"
  folder=$(mktemp -d)
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates "$2" "$folder/root" >"$folder/log" ||
    stop "debootstrap failed: $(tail -n 3 "$folder/log")"
  [ "$(chroot "$folder/root" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "$1" ] ||
    stop "Debian $2 does not have Python $1: name another suite in scripts/rehearsal.sh"
  # accept package lists of a mirror that is out of date
  echo 'Acquire::Check-Valid-Until "false";' >"$folder/root/etc/apt/apt.conf.d/outdated-mirror"
  tar -C "$folder/root" --exclude=./proc --exclude=./sys --exclude='./var/cache/apt/archives/*' -cf "$folder/base.tar" .
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$folder/base.tar" / >/dev/null
  buildah commit --quiet "$container" "$name" >/dev/null
  buildah rm "$container" >/dev/null
  rm -rf "$folder"
}

# build_after_change: fails if a second build after a change in app/ does not reuse the layers of the libraries.
build_after_change() {
  local folder
  folder=$(mktemp -d)
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$folder"
  ln -s "$PWD/.venv" "$folder/.venv"
  echo "# changed" >>"$folder/app/main.py"
  (cd "$folder" && ./build_docker.sh --brief --tag outcrop:rehearsal-changed) | tee "$folder/log"
  [[ $(grep -A1 "assemble.py /rootfs /build/site$" "$folder/log") == *"Using cache"* ]] ||
    stop "the second build installed the libraries again: check the order of the steps in the Dockerfile"
  rm -rf "$folder"
}
