#!/usr/bin/env bash
# Runs linters, type checker and tests. Needs Python 3.11 to 3.14 and a package index; installs everything else.
#
#   ./run_tests.sh          lint, coverage, database, console, timed and slow: all that a change must pass
#   ./run_tests.sh lint     linters of every language, type checker, import contracts, documents
#   ./run_tests.sh coverage quick tests with branch coverage, but those of the next group
#   ./run_tests.sh database quick tests of keys, limits, budgets and the console, on SQLite and a real PostgreSQL
#   ./run_tests.sh console  the web console in Chromium, which it installs where there is none
#   ./run_tests.sh timed    tests of durations, and CPU per request
#   ./run_tests.sh slow     tests of server processes and of the language model
#   ./run_tests.sh fast     linters and quick tests: about a minute, without server processes and the language model
#   ./run_tests.sh tests    the quick tests that can differ between Pythons (OUTCROP_PYTHON=python3.12 chooses one)
#   ./run_tests.sh soak     random faults for minutes, a thousand streams, generated requests, known vulnerabilities
#   ./run_tests.sh clients  unmodified programs: the commands of docs/clients, Claude Code, Codex; /docs in Chromium
#   ./run_tests.sh deploy   the image, and a deployment rehearsed on this machine (Debian, as root)
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh
source scripts/lint.sh

mode=${1:-all}
case $mode in
all | lint | coverage | database | console | timed | slow | fast | tests | soak | clients | deploy) ;;
-h | --help) sed -n '2,15s/^# \{0,1\}//p' run_tests.sh && exit ;;
*) stop "unknown argument $mode: use one of lint, coverage, database, console, timed, slow, fast, tests, soak, clients, deploy, or none" ;;
esac

# step NAME COMMAND...: prints the seconds since the start and the name, then runs the command.
started=$SECONDS
step() {
  say "[$((SECONDS - started)) s] $1"
  shift
  "$@"
}

# in_parallel COMMAND...: runs all of them at the same time; fails if one fails.
in_parallel() {
  local command pid pids=() failed=0
  for command in "$@"; do
    "$command" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return "$failed"
}

# prepare_programs: the programs of others that tests start.
prepare_programs() {
  prepare_apart ministack
  prepare_apart clients
}

# marked MARKER: the test files that use the marker. pytest alone would import all the others to find out.
marked() { grep -rl --include='*.py' "mark\.$1" tests; }

# Tests that are the same on every Python: documents, templates, scripts, data of botocore; and fuzz tests of C parsers.
version_independent=(tests/contract tests/deploy tests/docker tests/infra tests/bedrock/test_endpoints.py)
fuzz_tests=(tests/end_to_end/test_fuzz.py tests/bedrock/http1/test_any_bytes.py)

# Tests of what a deployment with a database has, and the code that they cover.
database_folders=(tests/governance tests/storage tests/admin)
mapfile -t database_tests < <(printf '%s\n' "${database_folders[@]}" && marked database)
governed="app/storage/*,app/admin/api/*,app/console/*"
for name in holds identity leases ledger maintenance quotas webhooks; do governed+=",app/governance/$name/*"; done
governed+=",app/observability/team_metrics.py,app/composition/upkeep.py,app/cli/administration/*,app/cli/imports/*,app/cli/checks/database.py"
governed+=",app/governance/charges.py,app/models/exact_prices.py,app/dialects/shared_paths/own_account.py,app/dialects/*/limit_headers.py"
for name in governed_attempt governed_check abandoned_calls policy_targets; do governed+=",app/execution/$name.py"; done
for name in governance database database_passwords identity; do governed+=",app/composition/$name.py"; done
for name in audit database export_file import_ keys ledger moments spend teams usage; do governed+=",app/cli/$name.py"; done

# test_quick [OPTION...]: runs two groups at the same time, each in processes of its own: the tests that compute, two at
# once and with OPTIONs, in the background; and those that wait, six at once, in the foreground, because a process that a
# shell puts into the background ignores SIGINT and some of them send it.
test_quick() {
  local foreground failed=0 options=(-q --dist worksteal -m "not slow and not timed and not soak")
  mapfile -t foreground < <(marked waits | grep -v "${database_tests[@]/#/-e^}")
  foreground+=("${version_independent[@]}" "${fuzz_tests[@]}")
  pytest "${options[@]}" -n 2 "${foreground[@]/#/--ignore=}" "${database_tests[@]/#/--ignore=}" "$@" &
  background=$!
  trap 'kill "$background" 2>/dev/null' EXIT
  pytest "${options[@]}" -n 6 "${foreground[@]}" || failed=$?
  wait "$background" || failed=$?
  trap - EXIT
  return "$failed"
}

# test_timed [MARKERS]: tests that measure time, alone on the machine.
test_timed() { marked timed | xargs pytest -q -n 0 -m "${1:-timed} and not npm and not soak"; }

test_database() {
  pytest -q --dist worksteal -n 3 -m "not slow and not timed and not soak and not npm" "${database_tests[@]}" "$@"
}

test_slow() { marked slow | xargs pytest -q -n 4 --dist loadgroup -m "slow and not timed and not npm and not soak"; }

# test_coverage: the quick tests; fails if the coverage is too low.
test_coverage() {
  local name translation
  rm -f .coverage .coverage.*
  step "tests" test_quick --cov --cov-report=
  step "coverage" coverage report --skip-covered --fail-under=90 --omit="$governed"
  translation="app/adaptation/*,app/converse/*"
  for name in request response response_context stream tools media citations native; do
    translation+=",app/dialects/*/$name.py,app/dialects/openai/*/$name.py"
  done
  step "coverage of the translation files" coverage report --fail-under=100 --include="$translation"
}

# test_database_coverage: the quick tests with a database; fails if they cover too little of what needs one.
test_database_coverage() {
  rm -f .coverage .coverage.*
  step "tests with a database" test_database --cov --cov-report=
  step "coverage of what needs a database" coverage report --skip-covered --fail-under=90 --include="$governed"
}

# test_other_examples: the property-based tests, each time with other examples. Elsewhere they are always the same.
test_other_examples() { grep -rl --include='*.py' "from hypothesis" tests | xargs pytest -q -n 2 --hypothesis-profile=explore; }

# test_console: the console in a browser. Without one the tests fail and say what to do.
test_console() { step "console in a browser" pytest -q -n 2 -m browser tests/console; }

# test_durations: the tests that measure time, and the CPU of a request beside that of the merge base.
test_durations() {
  step "timed tests" test_timed
  if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then
    step "CPU per request" python -m benchmarks.gate
  else
    say "CPU per request is not measured: it needs taskset and two cores"
  fi
}

# With it set, each of the hundreds of processes that the tests start would compile every module that it imports.
unset PYTHONDONTWRITEBYTECODE
prepare requirements.txt requirements/dev.txt
export PATH="$PWD/.venv/bin:$PATH"

case $mode in
tests)
  excluded=("${version_independent[@]}" "${fuzz_tests[@]}" tests/emulator)
  version_independent=() fuzz_tests=()
  step "tests" test_quick "${excluded[@]/#/--ignore=}" --hypothesis-profile=brief
  step "tests with a database" test_database --hypothesis-profile=brief
  ;;
fast)
  lint
  step "tests" test_quick
  step "tests with a database" test_database
  step "timed tests" test_timed "timed and not slow"
  ;;
lint) lint_everything ;;
coverage)
  prepare_programs
  test_coverage
  ;;
database) test_database_coverage ;;
console)
  prepare_browser
  test_console
  ;;
timed)
  prepare_llm || true
  test_durations
  ;;
slow)
  prepare_llm || true
  prepare_programs
  step "slow tests" test_slow
  ;;
all)
  prepare_llm || true
  # installing waits for the disk, and linting for the processors
  in_parallel lint_everything prepare_programs prepare_browser
  test_coverage
  test_console &
  console=$!
  test_database_coverage
  wait "$console"
  test_durations
  step "slow tests" test_slow
  ;;
soak)
  prepare_apart schemathesis
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || stop "nginx is not installed: run apt-get install nginx-light"
  prepare_apart linters
  step "vulnerabilities" audit
  step "other generated examples" test_other_examples
  step "soak tests" pytest -q -s -m soak
  ;;
clients)
  command -v npm >/dev/null || stop "npm is not installed: install Node.js"
  command -v chromium-headless-shell chromium google-chrome >/dev/null ||
    stop "Chromium is not installed: run apt-get install chromium-headless-shell"
  prepare_apart clients
  mkdir -p .npm-clients
  cp requirements/clients-npm/package.json .npm-clients/
  npm install --silent --no-audit --no-fund --no-package-lock --prefix .npm-clients
  # replaces a stub by the program; some npm configurations skip install scripts
  node .npm-clients/node_modules/@anthropic-ai/claude-code/install.cjs
  step "clients" pytest -q -m "npm and not browser"
  ;;
deploy)
  prepare_apart ministack
  source scripts/rehearsal.sh
  rehearse
  ;;
esac
say "all passed in $((SECONDS - started)) s"
