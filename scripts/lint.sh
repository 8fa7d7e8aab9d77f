# shellcheck shell=bash
# Sourced by run_tests.sh: the linters, which need .venv on the PATH and, for infrastructure, .venv-linters.

lint() {
  local shell_scripts=(./*.sh scripts/*.sh .ci/run)
  step "lint" ruff check
  step "format" ruff format --check
  step "shell" shellcheck -x "${shell_scripts[@]}"
  step "shell format" shfmt -i 2 -d "${shell_scripts[@]}"
  step "Dockerfile" hadolint Dockerfile
  step "workflows" zizmor --offline --quiet --persona auditor .github
  step "types" mypy
  step "import contracts" lint-imports --no-cache
}

# lint_infrastructure: what changes seldom, and whose linters are the largest packages.
lint_infrastructure() {
  step "security" .venv-linters/bin/bandit --quiet --recursive app
  step "templates" .venv-linters/bin/cfn-lint infra/*.yml
  step "permissions of the stack role" python -m scripts.permissions .venv-linters/lib/python3*/site-packages
  if command -v promtool >/dev/null; then
    step "alerts" promtool check rules --lint=all docker/monitoring/alerts.yml
    step "tests of the alerts" promtool test rules docker/monitoring/alerts_test.yml
  else
    say "promtool is not installed: the rules in docker/monitoring are not checked"
  fi
  if [ -x .venv-linters/bin/actionlint ]; then
    step "actions" .venv-linters/bin/actionlint -shellcheck .venv/bin/shellcheck
  else
    say "actionlint has no wheel for this platform: the workflows are not checked by it"
  fi
}

lint_policies() {
  step "policies" .venv-linters/bin/checkov --skip-download --quiet --compact \
    --file Dockerfile docker/Dockerfile.template infra/*.yml .github/workflows/*.yml \
    --framework cloudformation dockerfile github_actions
}

# lint_documents: a broken link, and a page that is missing from the navigation, fail the build of the site.
lint_documents() {
  step "documents" scripts/build_docs.sh
}

lint_everything() {
  prepare_apart linters
  in_parallel lint lint_infrastructure lint_policies lint_documents
}

# audit: fails if a production package has a known vulnerability; passes with a message where nothing could be asked.
audit() {
  local output
  if output=$(.venv-linters/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.txt 2>&1); then
    say "no known vulnerability"
  elif grep -q "could not be audited\|ConnectionError\|ServiceError" <<<"$output"; then
    say "the vulnerability database cannot be reached: nothing was audited"
  else
    stop "pip-audit failed: $output"
  fi
}
