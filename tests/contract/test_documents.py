"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

from app import adaptation
from app.adaptation.betas import PASSED, RENAMED
from app.dialects.anthropic.schema_in import MessagesRequest
from app.dialects.cohere.schema import RerankRequest
from app.dialects.openai.chat.schema_in import ChatRequest
from app.dialects.openai.common.errors import _WORDS
from app.dialects.openai.embeddings.schema import EmbeddingRequest
from app.dialects.openai.responses.schema_in import ResponseRequest
from scripts.tables import TABLES, marks

ROOT = Path(__file__).parents[2]
API = (ROOT / "API.md").read_text()


@pytest.mark.parametrize("name", TABLES)
def test_every_setting_and_parameter_is_in_its_table(name: str) -> None:
    document = (ROOT / "DEPLOYMENT.md").read_text()
    begin, end = marks(name)
    assert document.partition(begin)[2].partition(end)[0] == TABLES[name](), "run: python -m scripts.tables"


def test_every_field_of_a_chat_request_has_its_row() -> None:
    section = API.partition("## `POST /v1/chat/completions`")[2].partition("\n## ")[0]
    missing = [name for name in ChatRequest.model_fields if f"`{name}`" not in section and f"`{name}." not in section]
    assert missing == ["top_logprobs"]


def test_every_field_of_a_request_for_a_response_has_its_row() -> None:
    section = API.partition("## `POST /v1/responses`")[2].partition("\n## ")[0]
    missing = [
        name for name in ResponseRequest.model_fields if f"`{name}`" not in section and f"`{name}." not in section
    ]
    assert missing == []


def test_every_field_of_a_message_request_has_its_row() -> None:
    section = API.partition("## `POST /v1/messages`")[2].partition("\n## ")[0]
    assert [name for name in MessagesRequest.model_fields if f"`{name}`" not in section] == []


def test_every_field_of_an_embedding_request_has_its_row() -> None:
    section = API.partition("## `POST /v1/embeddings`")[2].partition("\n## ")[0]
    assert [name for name in EmbeddingRequest.model_fields if f"`{name}`" not in section] == []


def test_every_field_of_a_rerank_request_has_its_row() -> None:
    section = API.partition("## `POST /v1/rerank`")[2].partition("\n## ")[0]
    assert [name for name in RerankRequest.model_fields if f"`{name}`" not in section] == []


def test_every_beta_is_listed() -> None:
    assert [beta for beta in (*PASSED, *RENAMED) if f"`{beta}" not in API] == []


def test_every_repair_is_explained() -> None:
    folder = Path(adaptation.__file__).parent
    repairs = {name for path in folder.glob("*.py") for name in re.findall(r'repair\("(\w+)"\)', path.read_text())}
    assert len(repairs) > 12
    assert [name for name in sorted(repairs) if f"`{name}`" not in API] == []


def test_every_type_and_code_of_openai_s_errors_is_listed() -> None:
    words = {word for _, kind, code in _WORDS for word in (kind, code) if word}
    assert [word for word in sorted(words) if f"`{word}`" not in API] == []


def test_every_kind_of_error_is_in_the_runbook() -> None:
    from app import errors

    document = (ROOT / "DEPLOYMENT.md").read_text()
    kinds = {
        value.kind
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.GatewayError)
    }
    # what a caller did wrong needs nobody at night
    callers = {"gateway", "invalid_request", "context_too_long", "body_too_large", "not_found", "method_not_allowed"}
    assert [kind for kind in sorted(kinds - callers) if f"`{kind}`" not in document] == []


def test_links_between_documents_lead_somewhere() -> None:
    for document in ROOT.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (ROOT / link).exists(), f"{document.name} -> {link}"


def test_the_readme_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.index("./run_local.sh") < readme.index("./run_tests.sh") < 1200


def test_every_metric_is_in_its_table() -> None:
    from app.observability.metrics import Metrics

    metrics = Metrics()
    metrics.watch("in_flight", "", float)
    metrics.watch("waiting", "", float)
    metrics.watch_breakers(dict)
    section = (ROOT / "DEPLOYMENT.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(outcrop_[a-z_]+)`", section))
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in metrics.registry.collect()
        if family.name.startswith("outcrop_")
    }
    assert names | {"outcrop_processes"} == documented  # the one that no process counts by itself
