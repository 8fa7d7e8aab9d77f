"""Configure the documentation site: `scripts/build_docs.sh` builds it from the pages of the repository.

The source directory is the root of the repository, so that one relative link works on GitHub and on the site.
"""

from pathlib import Path
from shutil import copyfile
from typing import Any

project = "Outcrop"
author = "the Outcrop authors"
copyright = author  # noqa: A001 -- Sphinx reads this name

root_doc = "README"
include_patterns = ["*.md", ".github/*.md", "docs/*.md", "docs/**/*.md"]
exclude_patterns = [
    ".github/pull_request_template.md",
    ".git",
    ".hypothesis",
    ".npm-clients",
    ".venv*",
    ".*_cache",
    "app",
    "build",
    "tests",
]
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "Outcrop"
html_copy_source = False
html_show_sphinx = False

# Every page of the site. A page that is missing here fails the build. Globs are sorted by name.
NAVIGATION = {
    "Start": [
        "docs/quickstart",
        "docs/troubleshooting",
        "docs/configuration",
        "docs/command-line",
        "docs/glossary",
    ],
    "Clients": ["docs/clients", "docs/clients/*"],
    "API": [
        "API",
        "docs/api/overview",
        "docs/api/chat-completions",
        "docs/api/responses",
        "docs/api/messages",
        "docs/api/embeddings",
        "docs/api/rerank",
        "docs/api/bedrock",
    ],
    "Features": [
        "docs/identity",
        "docs/routing",
        "docs/reliability",
        "docs/virtual-keys",
        "docs/guardrails",
        "docs/media",
        "docs/costs",
        "docs/limits",
        "docs/teams-and-keys",
        "docs/usage-and-budgets",
        "docs/embedded-bedrock",
        "docs/console",
    ],
    "Deploy": [
        "DEPLOYMENT",
        "docs/deploy/aws",
        "docs/deploy/github",
        "docs/deploy/deploy-script",
        "docs/deploy/network",
        "docs/deploy/iam",
        "docs/deploy/container",
    ],
    "Operate": [
        "docs/operate/operations",
        "docs/operate/runbook",
        "docs/operate/database",
        "docs/operate/logs",
        "docs/operate/metrics",
        "docs/operate/administration",
        "docs/operate/quotas",
        "docs/operate/quota-planning",
        "docs/operate/ledger",
        "docs/operate/webhooks",
        "docs/operate/sizing",
        "docs/operate/upgrading",
    ],
    "Migrate": ["docs/migrate/bedrock-access-gateway", "docs/migrate/litellm"],
    "Reference": ["docs/reference/*", "docs/benchmarks/README"],
    "Wire contracts": ["docs/reference/contracts/*"],
    "Develop": [
        "ARCHITECTURE",
        "DEVELOPMENT",
        ".github/CONTRIBUTING",
        ".github/SECURITY",
        "docs/operate/security-review",
        ".github/CODE_OF_CONDUCT",
        "CHANGELOG",
    ],
    "Decisions": ["docs/adr/README", "docs/adr/0*"],
}


def _add_navigation(_app: Any, docname: str, source: list[str]) -> None:
    """Append the navigation to the first page, where GitHub does not show it."""
    if docname == root_doc:
        for caption, pages in NAVIGATION.items():
            entries = "\n".join(f"/{page}" for page in pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{entries}\n```\n"


def _copy_first_page(app: Any, failure: Exception | None) -> None:
    """Serve the first page as index.html too."""
    if failure is None:
        copyfile(Path(app.outdir, "README.html"), Path(app.outdir, "index.html"))


def setup(app: Any) -> dict[str, bool]:
    """Connect the functions above to the build."""
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _copy_first_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
