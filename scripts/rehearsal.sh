# shellcheck shell=bash
# Sourced by run_tests.sh: the image within its budgets, and a deployment from an empty account to a rollback.
#
# Where no registry is reached, the official base images are stood in for by debootstrap: the Dockerfile stays as it is.

rehearse() {
  install_image_tools
  # the stand-ins lie in buildah's storage
  export ENGINE=buildah
  export BUILD_OPTIONS="--isolation chroot --pull=never -v $certificates:$certificates:ro"
  # without unified control groups, as in many containers, podman needs telling
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    export RUN_OPTIONS="--runtime /usr/sbin/runc --cgroup-manager cgroupfs" PODMAN_IGNORE_CGROUPSV1_WARNING=1
  fi
  stand_in 3.13 trixie
  stand_in 3.14 forky
  step "the image, on Python 3.14" ./build_docker.sh --tag outcrop:rehearsal-3.14 --python 3.14 --test
  step "the image" ./build_docker.sh --tag outcrop:rehearsal --test
  step "built again after a change of the application" build_after_a_change
  step "the rehearsal" python -m tests.rehearsal outcrop:rehearsal
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
    stop "the rehearsal needs ${missing[*]}: install them, or run it as root on Debian"
  fi
  say "installing ${missing[*]}"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
}

# stand_in PYTHON SUITE: Debian's own Python under the name of the official image, unless one is there.
stand_in() {
  local name=docker.io/library/python:$1-slim folder
  buildah inspect --type image "$name" >/dev/null 2>&1 && return
  timeout 60 buildah pull --quiet --retry 0 "$name" >/dev/null 2>&1 && return
  say "making a stand-in for $name of Debian $2"
  folder=$(mktemp -d)
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates "$2" "$folder/root" >"$folder/log" ||
    stop "debootstrap failed: $(tail -n 3 "$folder/log")"
  [ "$(chroot "$folder/root" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "$1" ] ||
    stop "Debian $2 no longer has Python $1"
  # a mirror may lag behind the date that its own list gives
  echo 'Acquire::Check-Valid-Until "false";' >"$folder/root/etc/apt/apt.conf.d/stand-in"
  tar -C "$folder/root" --exclude=./proc --exclude=./sys --exclude='./var/cache/apt/archives/*' -cf "$folder/base.tar" .
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$folder/base.tar" / >/dev/null
  buildah commit --quiet "$container" "$name" >/dev/null
  buildah rm "$container" >/dev/null
  rm -rf "$folder"
}

# A second build after a change in app/ may take 15 s.
build_after_a_change() {
  local folder before seconds
  folder=$(mktemp -d)
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$folder"
  ln -s "$PWD/.venv" "$folder/.venv"
  echo "# changed" >>"$folder/app/main.py"
  before=$SECONDS
  (cd "$folder" && ./build_docker.sh --tag outcrop:rehearsal-changed)
  seconds=$((SECONDS - before))
  rm -rf "$folder"
  [ $seconds -lt 15 ] || stop "it took $seconds s, and may take 15"
}
