#!/usr/bin/env bash
# Passes the tests on a fresh machine: lint of every language, types, import contracts, tests with branch coverage.
#
#   ./run_tests.sh          everything but the deployment, within 5 minutes on two cores
#   ./run_tests.sh fast     what needs about a minute: no servers in processes of their own, no local language model
#   ./run_tests.sh tests    those tests of `fast` that say something about one more Python (OUTCROP_PYTHON)
#   ./run_tests.sh endure   minutes of faults by chance, a thousand streams, thousands of generated requests
#   ./run_tests.sh clients  programs of others that npm brings, Claude Code, Codex, the AI SDK
#   ./run_tests.sh deploy   the image and the whole way of a deployment, on one machine (Debian, as root)
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh

mode=${1:-all}
case $mode in
all | fast | tests | endure | clients | deploy) ;;
-h | --help) sed -n '2,9s/^# \{0,1\}//p' run_tests.sh && exit ;;
*) stop "unknown argument $mode: ./run_tests.sh [fast|tests|endure|clients|deploy]" ;;
esac
started=$SECONDS
step() {
  say "[$((SECONDS - started)) s] $1"
  shift
  "$@"
}

lint() {
  shell_scripts=(./*.sh scripts/*.sh .ci/run)
  step "lint" ruff check
  step "format" ruff format --check
  step "shell" shellcheck -x "${shell_scripts[@]}"
  step "shell format" shfmt -i 2 -d "${shell_scripts[@]}"
  step "Dockerfile" hadolint Dockerfile
  step "workflows" zizmor --offline --quiet --persona auditor .github
  step "types" mypy
  step "import contracts" lint-imports --no-cache
}

# at_once COMMAND...: all of them beside each other; fails if one of them does.
at_once() {
  local command running=() each failed=0
  for command in "$@"; do
    "$command" &
    running+=($!)
  done
  for each in "${running[@]}"; do wait "$each" || failed=1; done
  return "$failed"
}

# What these check changes seldom, and their packages weigh more than all others.
lint_infrastructure() {
  step "security" .venv-linters/bin/bandit --quiet --recursive app
  step "templates" .venv-linters/bin/cfn-lint infra/*.yml
  step "permissions of the stack role" python -m scripts.permissions .venv-linters/lib/python3*/site-packages
  if command -v promtool >/dev/null; then
    step "alerts" promtool check rules --lint=all docker/monitoring/alerts.yml
    step "tests of the alerts" promtool test rules docker/monitoring/alerts_test.yml
  else
    say "promtool is not installed: the names in the alerts and the dashboard are tested, their rules are not"
  fi
  if [ -x .venv-linters/bin/actionlint ]; then
    step "actions" .venv-linters/bin/actionlint -shellcheck .venv/bin/shellcheck
  else
    say "actionlint has no package for this platform: continuous integration runs it"
  fi
}

lint_policies() {
  step "policies" .venv-linters/bin/checkov --skip-download --quiet --compact \
    --file Dockerfile docker/Dockerfile.template infra/*.yml .github/workflows/*.yml \
    --framework cloudformation dockerfile github_actions
}

# Programs of others that tests start. To install them is the disk's work, and to lint is the processors'.
prepare_programs() {
  prepare_apart ministack
  prepare_apart clients
}

# Known vulnerabilities in what is shipped; where nobody can be asked, that is said, and nothing is called clean.
audit() {
  local said
  if said=$(.venv-linters/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.txt 2>&1); then
    say "no known vulnerability"
  elif grep -q "could not be audited\|ConnectionError\|ServiceError" <<<"$said"; then
    say "the service that knows of vulnerabilities is out of reach: nothing was audited"
  else
    stop "$said"
  fi
}

# documents, templates, scripts, and what botocore knows: all the same on every Python, and no lines of app/
outside=(tests/contract tests/deploy tests/docker tests/infra tests/bedrock/test_endpoints.py)
# what parsers in C make of bytes that are drawn by chance is the same as well
by_chance=(tests/end_to_end/test_fuzz.py tests/bedrock/http1/test_any_bytes.py)
# Those that wait for time to pass are many at once, and leave the cores to those that compute. What a shell puts into
# the background cannot be interrupted, as some of those that wait are.
test_quick() {
  local beside ended=0 quick=(-q --dist worksteal -m "not slow and not timed and not endurance")
  mapfile -t beside < <(marked waits)
  beside+=("${outside[@]}" "${by_chance[@]}")
  pytest "${quick[@]}" -n 2 "${beside[@]/#/--ignore=}" "$@" &
  computing=$!
  trap 'kill "$computing" 2>/dev/null' EXIT
  pytest "${quick[@]}" -n 6 "${beside[@]}" || ended=$?
  wait "$computing" || ended=$?
  trap - EXIT
  return "$ended"
}
test_timed() { marked timed | xargs pytest -q -n 0 -m "${1:-timed}"; }
test_slow() { marked slow | xargs pytest -q -n 4 --dist loadgroup -m "slow and not timed and not npm and not endurance"; }
# to read all the others as well would take as long as some of these do
marked() { grep -rl --include='*.py' "mark\.$1" tests; }

# some systems forbid it, and then each of the hundreds of processes here compiles all that it imports
unset PYTHONDONTWRITEBYTECODE
prepare requirements.txt requirements/dev.txt
export PATH="$PWD/.venv/bin:$PATH"

case $mode in
tests)
  # the embedded Bedrock is the same as well, and many examples drawn by chance say no more of a Python than a few
  left_out=("${outside[@]}" "${by_chance[@]}" tests/emulator)
  outside=() by_chance=()
  step "tests" test_quick "${left_out[@]/#/--ignore=}" --hypothesis-profile=brief
  ;;
fast)
  lint
  step "tests" test_quick
  step "tests of time" test_timed "timed and not slow"
  ;;
all)
  prepare_llm || true
  prepare_apart linters
  at_once lint lint_infrastructure lint_policies prepare_programs
  rm -f .coverage .coverage.*
  step "tests" test_quick --cov --cov-report=
  step "tests of time" test_timed
  step "slow tests" test_slow
  if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then
    step "what a request costs" python -m benchmarks.gate
  else
    say "what a request costs is measured where there are taskset and two cores"
  fi
  step "coverage" coverage report --skip-covered --fail-under=90
  step "coverage of the translation files" coverage report --fail-under=100 \
    --include="app/dialects/*/request.py,app/dialects/*/response.py,app/dialects/*/stream.py,app/dialects/*/tools.py,app/dialects/*/media.py,app/dialects/*/facts.py,app/dialects/*/citations.py,app/dialects/*/native.py,app/adaptation/*,app/converse/*"
  ;;
endure)
  prepare_apart schemathesis
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || stop "nginx is needed: apt-get install nginx-light"
  prepare_apart linters
  step "vulnerabilities" audit
  step "endurance" pytest -q -s -m endurance
  ;;
clients)
  command -v npm >/dev/null || stop "npm is needed, and not installed"
  mkdir -p .npm-clients
  cp requirements/clients-npm/package.json .npm-clients/
  npm install --silent --no-audit --no-fund --no-package-lock --prefix .npm-clients
  # npm skips the install script that replaces the stub by the program
  node .npm-clients/node_modules/@anthropic-ai/claude-code/install.cjs
  step "clients" pytest -q -m npm
  ;;
deploy)
  prepare_apart ministack
  source scripts/rehearsal.sh
  rehearse
  ;;
esac
say "all passed in $((SECONDS - started)) s"
