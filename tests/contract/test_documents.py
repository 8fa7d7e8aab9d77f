"""The documents say what the code does."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from app.adaptation.invoke.betas import PASSED, PASSED_TO_NEWER, RENAMED
from app.composition.deployment import planner_of
from app.config.settings import Settings
from scripts.reference import PAGES
from tests.servers import gateway_settings

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (REFERENCE / f"{name}.md").read_text() == PAGES[name](), "run: python -m scripts.reference"


def test_every_beta_is_listed() -> None:
    fields = (REFERENCE / "fields.md").read_text()
    assert [beta for beta in (*PASSED, *PASSED_TO_NEWER, *RENAMED) if f"`{beta}" not in fields] == []


def test_every_adjustment_is_explained() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    explained = set(re.findall(r"(?m)^\| `(\w+)` \|", (REFERENCE / "adjustments.md").read_text()))
    made = set(re.findall(r'\.(?:adjust)\("(\w+)"\)', code))
    assert len(made) > 12
    assert made - explained == set()
    assert [name for name in sorted(explained) if f'"{name}"' not in code] == []


def test_every_kind_of_error_is_explained() -> None:
    from app import errors

    document = (ROOT / "docs/operate/logs.md").read_text()
    kinds = {
        value.kind
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.GatewayError)
    }
    # what a caller did wrong needs nobody at night
    callers = {"gateway", "invalid_request", "context_too_long", "body_too_large", "not_found", "method_not_allowed"}
    assert [kind for kind in sorted(kinds - callers) if f"`{kind}`" not in document] == []


def test_every_field_of_a_request_s_log_line_is_in_its_table() -> None:
    from types import SimpleNamespace

    from app.converse.usage import Usage
    from app.observability.logs import LogObserver
    from app.observability.observer import RequestRecord, TriedTarget

    attempt = TriedTarget("target", "location")
    record = RequestRecord(
        "id", "POST", usage=Usage(), cost=0.1, ignored=["a"], adjusted=["b"], exceeded=["c"], first_event_ms=1.0,
        quota=SimpleNamespace(waited=1.0, reserved=2, settled=3), streamed=True, status=200, tries=[attempt, attempt], trace=SimpleNamespace(trace_id="trace"),
    )  # fmt: skip
    for name in RequestRecord.__struct_fields__:
        if getattr(record, name) == "":
            setattr(record, name, name)
    lines: list[bytes] = []
    LogObserver(write=lines.append).request_ended(record)
    written = json.loads(lines[0]).keys() - {"time", "level", "logger", "message"}
    section = (ROOT / "docs/operate/logs.md").read_text().partition("## The line of a request")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", " ".join(re.findall(r"(?m)^\| (`[^|]*) \|", section)))) == written


def test_settings_named_in_documents_exist() -> None:
    pages = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")]
    pages += [path for folder in ("api", "deploy", "operate") for path in (ROOT / "docs" / folder).glob("*.md")]
    # variables of AWS, of other programs, of GitHub, and of bedrock-access-gateway
    others = re.compile(
        r"(AWS|OTEL|ANTHROPIC|CLAUDE_CODE|DEPLOY|OUTCROP)_|(HTTPS?|NO)_PROXY|API_KEY$|DEFAULT_|RESPONSE_STREAM"
    )
    named = {name for page in pages for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)[`=]", page.read_text())}
    known = {name.upper() for name in Settings.model_fields}
    assert len(named & known) > 30
    assert sorted(name for name in named - known if not others.match(name)) == []


def test_the_readme_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.index("./run_local.sh") < readme.index("./run_tests.sh") < 1200


def test_every_metric_is_in_its_table() -> None:
    from app.observability.exposition import families
    from app.observability.metrics import Metrics
    from app.observability.team_metrics import TeamMetrics

    metrics = Metrics()
    metrics.watch("in_flight", "", float)
    metrics.watch("waiting", "", float)
    metrics.watch("ledger_unposted", "", float)
    metrics.watch("database_reachable", "", float)
    metrics.watch_breakers(dict)
    TeamMetrics(metrics, 1)
    metrics.watch_quotas(dict, dict)
    section = (ROOT / "docs/operate/metrics.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(outcrop_[a-z_]+)`", section))
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families(metrics.all)
        if family.name.startswith("outcrop_")
    }
    assert names | {"outcrop_processes"} == documented  # the one that no process counts by itself


def test_the_picture_of_the_layers_is_that_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "layers")
    texts = re.findall(r"<text [^>]*>([^<]*)</text>", (ROOT / "docs/images/architecture.svg").read_text())
    assert texts[-len(layers) :] == [" | ".join(name.strip() for name in layer.split("|")) for layer in layers]


def test_log_lines_of_the_page_are_written() -> None:
    page = (ROOT / "docs" / "operate" / "logs.md").read_text().partition("## Other lines")[2].partition("\n## ")[0]
    lines = re.findall(r"(?m)^\| `([^`]+)` \|", page)
    sources = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    assert lines
    assert [line for line in lines if re.split(" [A-Z]+:", line)[0] not in sources] == []


def blocks_of_configuration() -> list[tuple[str, str]]:
    pages = sorted((ROOT / "docs").rglob("*.md"))
    found = [(page, block) for page in pages for block in re.findall(r"(?ms)^```toml\n(.*?)^```", page.read_text())]
    ours = re.compile(r"(?m)^\[\[?(aliases|routes|models|limits|prices|identity)\b")
    return [(str(page.relative_to(ROOT)), block) for page, block in found if ours.search(block)]


@pytest.mark.parametrize(("page", "block"), blocks_of_configuration())
def test_examples_of_the_configuration_file_are_valid(page: str, block: str) -> None:
    planner_of(gateway_settings("http://127.0.0.1:1", config_toml=block))


def test_there_are_examples_of_the_configuration_file() -> None:
    assert len(blocks_of_configuration()) >= 4
