#!/usr/bin/env bash
# Passes the tests on a fresh machine: lint of every language, types, import contracts, tests with branch coverage.
#
#   ./run_tests.sh        everything, within 5 minutes on two cores
#   ./run_tests.sh fast   what needs under a minute: no servers in processes of their own, no local language model
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh

mode=${1:-all}
case $mode in
all | fast) ;;
-h | --help) sed -n '2,5s/^# \{0,1\}//p' run_tests.sh && exit ;;
*) stop "unknown argument $mode: ./run_tests.sh [fast]" ;;
esac
started=$SECONDS
step() {
  say "[$((SECONDS - started)) s] $1"
  shift
  "$@"
}

prepare requirements-dev.txt
if [ "$mode" = all ]; then
  prepare_llm || true
  prepare_second_opinion
fi
export PATH="$PWD/.venv/bin:$PATH"

step "lint" ruff check
step "format" ruff format --check
shell_scripts=(./*.sh scripts/*.sh .ci/run)
step "shell" shellcheck -x "${shell_scripts[@]}"
step "shell format" shfmt -i 2 -d "${shell_scripts[@]}"
step "Dockerfile" hadolint Dockerfile
step "workflows" zizmor --offline --quiet --persona auditor .github
step "types" mypy
step "import contracts" lint-imports --no-cache

case $mode in
fast)
  step "tests" pytest -q -n auto -m "not slow"
  ;;
all)
  rm -f .coverage .coverage.*
  step "tests" pytest -q -n auto --cov --cov-report=
  step "coverage" coverage report --skip-covered --fail-under=90
  step "coverage of the translation files" coverage report --fail-under=100 \
    --include="app/dialects/*/request.py,app/dialects/*/response.py,app/dialects/*/stream.py,app/dialects/*/tools.py,app/dialects/*/media.py,app/dialects/*/facts.py,app/dialects/*/native.py,app/tailor/*,app/converse/*"
  ;;
esac
say "all passed in $((SECONDS - started)) s"
