"""Rules of the architecture that import-linter cannot check."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
FILES = sorted(APP.rglob("*.py"))

# one importer for each dependency
IMPORTERS = {
    "aiohappyeyeballs": {"bedrock/http1/connector.py"},
    "aiosqlite": set(),
    "asyncpg": {"storage/database.py", "storage/frequent.py"},
    "jinja2": {"console/rendering.py"},
    "markupsafe": {"console/figures.py"},
    "httptools": {"bedrock/http1/connection.py", "server/protocol.py"},
    "jwt": {"governance/identity/issuer_keys.py", "governance/identity/oidc.py"},
    "opentelemetry": {"observability/tracing.py"},
    "prometheus_client": {"observability/exposition.py"},
    "requests": {"observability/tracing.py"},
    "tenacity": {"bedrock/retry.py"},
    "wsproto": {"server/websocket.py"},
    "boto3": set(),
    "botocore": {"aws/credential_chain.py", "aws/botocore_data.py", "cli/export_file.py"},
    # the chain is a program of its own, started by its path
    "json": {"aws/credential_chain.py"},
    "dotenv": {"config/environment.py"},
    "pydantic_settings": {"cli/deferred_loading.py", "config/aws_settings.py"},
    "uvicorn": {
        "cli/deferred_loading.py",
        "server/connection_registry.py",
        "server/served_request.py",
        "server/graceful_server.py",
        "server/protocol.py",
    },
    "xllamacpp": set(),
}
# importers of these are in one package
PACKAGES = {
    "alembic": "storage/",
    "click": "cli/",
    "cryptography": "governance/identity/",
    "sqlalchemy": (
        "admin/api/",
        "storage/",
        "governance/leases/",
        "governance/ledger/",
        "governance/maintenance/",
        "governance/webhooks/",
    ),
}
VENDORS = re.compile(
    r"claude|anthropic|nova|titan|llama|mistral|cohere|qwen|deepseek|gpt|gemma|minimax|glm|kimi|smollm", re.IGNORECASE
)
LOOKING = {"startswith", "endswith", "find", "match", "search", "fullmatch", "compile"}
FORBIDDEN_NAMES = {"service", "utils", "helpers", "common", "base", "manager"}


def is_gateway(path: Path) -> bool:
    return "emulator" not in path.parts


def name_of(path: Path) -> str:
    return path.relative_to(APP).as_posix()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def imported_files(path: Path) -> set[str]:
    """Files of the application that a file names, also late or only in types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("app."):
            folder = node.module.removeprefix("app.").replace(".", "/")
            for each in (f"{folder}.py", *(f"{folder}/{alias.name}.py" for alias in node.names)):
                if (APP / each).is_file():
                    found.add(each)
    return found


def test_no_file_imports_one_that_imports_it() -> None:
    graph = {name_of(path): imported_files(path) for path in FILES}
    assert "storage/migrating.py" in graph["storage/schema.py"]
    TopologicalSorter(graph).prepare()


def test_each_dependency_has_its_importers() -> None:
    imported = {path: set(imports(path)) for path in FILES}
    for package, importers in IMPORTERS.items():
        users = {name_of(path) for path in FILES if is_gateway(path) and package in imported[path]}
        assert users == importers, package
    for package, folders in PACKAGES.items():
        users = {name_of(path) for path in FILES if package in imported[path]}
        assert users, package
        assert {name for name in users if not name.startswith(folders)} == set(), package


def compared_strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Text that code compares with, matches, or looks for."""
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOKING:
            parts = list(node.args)
        for part in parts:
            for constant in ast.walk(part):
                if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                    yield node.lineno, constant.value


def test_no_vendor_or_model_is_compared_outside_its_layer() -> None:
    offences = [
        f"{name_of(path)}:{line} {text!r}"
        for path in FILES
        if is_gateway(path) and "models" not in path.parts
        for line, text in compared_strings(ast.parse(path.read_text()))
        if VENDORS.search(text)
    ]
    assert offences == []


def test_the_rule_about_vendors_can_fail() -> None:
    bad = ast.parse("if 'claude' in model: pass\nmodel.startswith('amazon.nova')\nmatch x:\n  case 'llama': pass")
    assert sum(bool(VENDORS.search(text)) for _, text in compared_strings(bad)) == 3


def test_no_settings_and_no_client_live_at_module_level() -> None:
    suspects = {
        "Settings",
        "load_settings",
        "create_app",
        "build_gateway",
        "BedrockClient",
        "Http1Transport",
        "FastAPI",
    }
    offences = [
        f"{name_of(path)}:{node.lineno}"
        for path in FILES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in suspects
    ]
    assert offences == []


_AT_REST = """
import asyncio, sys
import app.cli.program, app.cli.serve
from app.bedrock.credentials import Credentials, make_resolver
from app.config.environment import load_settings
from app.dialects.anthropic.schema_in import MessagesRequest
from app.main import create_app
from fastapi import FastAPI

settings = load_settings("nowhere.env")
application = create_app(settings)
assert asyncio.run(make_resolver(settings)()).identity == Credentials("AKIATEAM", "s"), "a profile's keys"
assert "botocore.session" not in sys.modules, "botocore has been loaded"
assert "app.cli.check" not in sys.modules, "another command has been loaded"
assert "wsproto" not in sys.modules, "nobody has opened a WebSocket"
assert not {"jinja2", "markupsafe", "app.console.application"} & sys.modules.keys(), "nobody has opened the console"
assert "pydantic.v1" not in sys.modules, "pydantic has loaded its first version"
deferred = {"fastapi.openapi.models", "fastapi.security", "importlib.metadata", "logging.config", "uvicorn.supervisors"}
deferred |= {f"opentelemetry.{name}" for name in ("_logs", "metrics", "propagate", "trace")}
deferred |= {"argparse", "configparser", "email.message", "html", "http.client", "urllib.request", "uvicorn.main"}
deferred |= {"msgspec.inspect", "pydantic.color", "pydantic.networks", "pydantic_settings.sources.providers.cli"}
assert not deferred & sys.modules.keys(), deferred & sys.modules.keys()
databases = {"sqlalchemy", "alembic", "asyncpg", "aiosqlite", "sqlite3", "greenlet", "app.storage.tables"}
databases |= {"app.admin.api", "cryptography", "jwt"}
assert not databases & sys.modules.keys(), "what only a database needs has been loaded"
assert not MessagesRequest.__pydantic_complete__, "no request has needed it"
assert "app.dialects.openai.chat.schema_in" not in sys.modules, "no request has needed it"
assert "app.dialects.http.openapi" not in sys.modules, "nobody has opened the page"
assert isinstance(application, FastAPI), "its users find what they know"
assert "/v1/chat/completions" in application.openapi()["paths"]
"""


def test_what_serves_holds_nothing_that_only_the_start_or_a_page_needs(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = s\n")
    environment = {
        "AUTH_DISABLED": "true",
        "AWS_PROFILE": "team",
        "AWS_REGION": "us-east-1",
        "AWS_SHARED_CREDENTIALS_FILE": str(file),
        "BEDROCK_MODEL_ID": "m",
    }
    ended = subprocess.run(
        [sys.executable, "-c", _AT_REST], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


_AT_REST_WITH_A_DATABASE = """
import sys
import app.cli.program, app.cli.serve
from app.config.environment import load_settings
from app.main import create_app

create_app(load_settings("nowhere.env"))
import app.governance.ledger.writer, app.governance.webhooks.events
unused = {"alembic", "importlib.metadata", "app.admin.api", "sqlalchemy.dialects.sqlite", "sqlalchemy.orm", "sqlite3"}
unused |= {f"sqlalchemy.dialects.postgresql.{name}" for name in ("pg8000", "pg_catalog", "psycopg", "psycopg2")}
unused |= {"asyncpg.pool", "sqlalchemy.dialects.postgresql.hstore"}
assert not unused & sys.modules.keys(), unused & sys.modules.keys()
from sqlalchemy.ext.asyncio.session import AsyncSession
assert AsyncSession.__name__ == "AsyncSession", "a test or a tool may still load the ORM"
"""


def test_what_serves_with_postgresql_loads_no_orm_and_no_admin_api(tmp_path: Path) -> None:
    environment = {
        "AUTH_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "BEDROCK_MODEL_ID": "m",
        "DATABASE_URL": "postgresql://u:p@127.0.0.1:9/d",
        "DATA_DIR": str(tmp_path),
        "KEY_PEPPER": "p" * 40,
    }
    ended = subprocess.run(
        [sys.executable, "-c", _AT_REST_WITH_A_DATABASE],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_importing_the_application_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    import app.main

    importlib.reload(app.main)
    with pytest.raises(AttributeError):
        app.main.nothing  # noqa: B018


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_stay_small_and_well_named(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in FORBIDDEN_NAMES


def test_median_file_has_150_lines_or_fewer() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in FILES)
    assert lengths[len(lengths) // 2] <= 150


def test_no_function_has_more_than_60_lines() -> None:
    long = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= 60
    ]
    assert long == []


def test_nothing_is_left_for_later() -> None:
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|NotImplementedError)\b")
    tracked = [*FILES, *(ROOT / "scripts").rglob("*.py"), *ROOT.glob("*.sh"), *ROOT.glob("*.md")]
    assert [path.name for path in tracked if words.search(path.read_text())] == []


def test_every_error_of_the_tree_is_drawn() -> None:
    from app import errors

    drawn = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.GatewayError):
            assert name in drawn
            assert value is errors.GatewayError or str(value.status) in drawn


def test_every_error_has_its_words_in_every_dialect() -> None:
    from app import errors
    from app.dialects.anthropic import errors as anthropic_messages
    from app.dialects.bedrock import errors as bedrock
    from app.dialects.openai.common import errors as openai_errors
    from app.wire import json

    kinds = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.GatewayError)
    ]
    for kind in kinds:
        error = kind("words")
        whole = openai_errors.render_error(error, "id")
        assert whole.status == error.status
        assert json.loads(whole.body)["error"]["message"] == "words"
        anthropic = anthropic_messages.render_error(error, "id")
        assert anthropic.status == (529 if issubclass(kind, errors.Overloaded) else error.status)
        assert json.loads(anthropic.body)["error"]["message"].endswith("words")
        aws = bedrock.render_error(error, "id")
        assert dict(aws.headers)["x-amzn-errortype"].endswith("Exception")
        assert aws.status >= 400


def lock_of(source: Path) -> Path:
    return ROOT / "requirements.txt" if source.suffix == ".toml" else source.with_suffix(".txt")


SOURCES = [ROOT / "pyproject.toml", *sorted((ROOT / "requirements").glob("*.in"))]
LOCKS = [lock_of(source) for source in SOURCES]


def pins_of(path: Path) -> dict[str, str]:
    """The exact versions in a lock file or in one of its sources."""
    if path.suffix == ".toml":
        lines = tomllib.loads(path.read_text())["project"]["dependencies"]
    else:
        lines = path.read_text().splitlines()
    found = (re.match(r"([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;]+)", line) for line in lines)
    return {pin[1]: pin[2] for pin in found if pin}


def test_boto3_and_botocore_are_in_step() -> None:
    pins = pins_of(ROOT / "requirements.txt")
    assert pins["boto3"] == pins["botocore"]


def test_every_lock_file_has_a_source() -> None:
    assert sorted((ROOT / "requirements").glob("*.txt")) == sorted(LOCKS[1:])


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_lock_file_has_the_pins_of_its_source(source: Path) -> None:
    pins = pins_of(source)
    assert pins
    assert pins.items() <= pins_of(lock_of(source)).items(), "run: scripts/lock.sh"


def test_dev_and_production_lock_files_agree() -> None:
    production, dev = pins_of(ROOT / "requirements.txt"), pins_of(ROOT / "requirements/dev.txt")
    shared = production.keys() & dev.keys()
    assert {name: dev[name] for name in shared} == {name: production[name] for name in shared}, "run: scripts/lock.sh"


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_its_hash(path: Path) -> None:
    pins = re.findall(r"^[a-z0-9][^\n]*(?:\n    [^\n]*)*", path.read_text(), re.MULTILINE)
    assert pins
    assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)


@pytest.mark.parametrize("folder", ["browser-npm", "clients-npm", "console-npm"])
def test_npm_packages_have_exact_versions(folder: str) -> None:
    package = json.loads((ROOT / "requirements" / folder / "package.json").read_text())
    assert package["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["dependencies"].values())


def test_dependabot_reads_every_directory_of_pins() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    directories = {(each["package-ecosystem"], each["directory"]) for each in updates}
    sources = {("pip", f"/{source.parent.relative_to(ROOT)}".removesuffix(".")) for source in SOURCES}
    assert (
        sources | {*(("npm", f"/requirements/{name}-npm") for name in ("browser", "clients", "console"))} <= directories
    )
