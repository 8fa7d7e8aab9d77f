#!/usr/bin/env bash
# Builds the documentation site into build/site. Fails on a broken link and on a page that is missing from the navigation.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

prepare_apart docs
# --fail-on-warning: a broken link is a warning; -E: pages that did not change are checked too
.venv-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env --jobs auto \
  --conf-dir docs --doctree-dir build/doctrees . build/site
say "the site is in build/site"
