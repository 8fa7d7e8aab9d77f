"""Each field of each dialect, sent in each mode: supported, ignored or refused, as docs/reference/fields.md says.

A supported field changes what Bedrock gets or what the caller gets; `x-outcrop-ignored` names an ignored one; a refused
one is a 400. A field that is none of these fails the test.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from app.adaptation.invoke.betas import PASSED, PASSED_TO_NEWER, RENAMED
from app.dialects.anthropic.schema_in import MessagesRequest
from app.dialects.cohere.schema import RerankRequest
from app.dialects.openai.chat.schema_in import ChatRequest
from app.dialects.openai.embeddings.schema import EmbeddingRequest
from app.dialects.openai.responses.schema_in import ResponseRequest
from scripts.reference import header
from tests.end_to_end.field_matrix import DIALECTS, Dialect, Row
from tests.end_to_end.recording import RecordingBedrock
from tests.servers import KEY, gateway, serving

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "fields.md"
INTRODUCTION = """\
What becomes of each request field. The table is measured: a test sends each field to the emulator in each mode.

| word | meaning |
|---|---|
| supported | It changes what Bedrock receives or what the caller receives. An adjustment that it causes is in parentheses; see [adjustments](adjustments.md). |
| ignored | It has no effect, and the response header `x-outcrop-ignored` names it. |
| refused | The request fails with 400, and the error names the field. |

Each column is a mode with the model that was measured. In native mode Outcrop passes a field through; Bedrock may still
ignore it. With another model a translated field may be ignored, refused or adjusted instead, as that model requires.

The Bedrock runtime paths (`/model/…`) pass the body through unchanged.
"""
CHANGING = frozenset({"id", "created", "created_at", "completed_at", "item_id", "x-request-id"})
FIELDS: dict[str, set[str]] = {
    "/v1/chat/completions": {*ChatRequest.model_fields, *CompletionCreateParamsBase.__annotations__},
    "/v1/responses": {*ResponseRequest.model_fields, *ResponseCreateParamsBase.__annotations__},
    "/v1/messages": {*MessagesRequest.model_fields, *MessageCreateParamsBase.__annotations__},
    "/v1/embeddings": set(EmbeddingRequest.model_fields),
    "/v1/rerank": set(RerankRequest.model_fields),
}
CELLS = [(dialect, row, mode) for dialect in DIALECTS for row in dialect.rows for mode in dialect.modes]


class FieldProbe:
    """Sends single fields to a gateway in front of a recording Bedrock."""

    def __init__(self, bedrock: RecordingBedrock, url: str) -> None:
        self._bedrock = bedrock
        self._client = httpx.Client(base_url=url, headers={"x-api-key": KEY})
        self._plain: dict[str, Any] = {}

    def close(self) -> None:
        self._client.close()

    def outcome(self, dialect: Dialect, row: Row, mode: str) -> str:
        """Return what becomes of a row in a mode: supported, ignored or refused."""
        base = {**dialect.base, "model": dialect.modes[mode]}
        # compare with a request that has the other members of the row, but not its field
        own = row.field or next(reversed(row.change))
        other_members = {name: value for name, value in row.change.items() if name != own}
        answer, seen = self._send(dialect, {**base, **row.change})
        if answer.status_code == 400:
            return "refused"
        assert answer.status_code == 200, answer.text
        ignored = answer.headers.get("x-outcrop-ignored", "").split(", ")
        if any(name.startswith(row.named or own) for name in ignored if name):
            return "ignored"
        plain, seen_plain = self._send(dialect, {**base, **other_members})
        assert (seen, _stable(answer)) != (seen_plain, _stable(plain)), "neither supported, ignored nor refused"
        adjusted = set(answer.headers.get("x-outcrop-adjusted", "").split(", "))
        adjusted -= {*plain.headers.get("x-outcrop-adjusted", "").split(", "), "", "inference_profile"}
        return f"supported ({', '.join(f'`{name}`' for name in sorted(adjusted))})" if adjusted else "supported"

    def _send(self, dialect: Dialect, body: dict[str, Any]) -> tuple[httpx.Response, Any]:
        self._bedrock.requests.clear()
        answer = self._client.post(dialect.path, json=body, headers=dialect.headers)
        return answer, [(request.path, request.body) for request in self._bedrock.requests]


def _stable(answer: httpx.Response) -> Any:
    """Return the part of a response that is the same for identical requests."""
    if "json" not in answer.headers["content-type"]:
        return "a stream", "usage" in answer.text
    return _without(answer.json())


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(item) for item in value]
    if isinstance(value, dict):
        return {name: _without(inside) for name, inside in value.items() if name not in CHANGING}
    return value


@contextlib.contextmanager
def open_probe() -> Iterator[FieldProbe]:
    bedrock = RecordingBedrock()
    with serving(bedrock) as upstream, gateway(upstream) as url:
        probe = FieldProbe(bedrock, url)
        try:
            yield probe
        finally:
            probe.close()


@pytest.fixture(scope="module")
def probe() -> Iterator[FieldProbe]:
    with open_probe() as opened:
        yield opened


def table_of(dialect: Dialect, outcomes: dict[str, list[str]]) -> Iterator[str]:
    yield f"\n## {dialect.title}\n"
    yield f"| field | {' | '.join(dialect.modes)} | remarks |"
    yield f"|---|{'---|' * len(dialect.modes)}---|"
    for row in dialect.rows:
        yield f"| {row.name} | {' | '.join(outcomes[row.name])} | {row.remark} |"


@pytest.mark.parametrize(
    ("dialect", "row", "mode"), CELLS, ids=[f"{dialect.path}-{row.name}-{mode}" for dialect, row, mode in CELLS]
)
def test_field_has_the_documented_result(probe: FieldProbe, dialect: Dialect, row: Row, mode: str) -> None:
    section = PAGE.read_text().partition(f"## {dialect.title}\n")[2].partition("\n## ")[0]
    (line,) = [line for line in section.splitlines() if line.startswith(f"| {row.name} |")]
    index = list(dialect.modes).index(mode)
    cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
    assert cells[1 + index] == probe.outcome(dialect, row, mode), "run: python -m scripts.reference fields"
    assert cells[-1] == row.remark


@pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.path for dialect in DIALECTS])
def test_every_field_has_a_row(dialect: Dialect) -> None:
    tested = {name for row in dialect.rows for name in row.change}
    tested |= {"model", *dialect.base}
    assert sorted(FIELDS[dialect.path] - tested) == []


def page() -> str:
    """Measure and return docs/reference/fields.md."""
    lines = []
    with open_probe() as opened:
        for dialect in DIALECTS:
            outcomes = {
                row.name: [opened.outcome(dialect, row, mode) for mode in dialect.modes] for row in dialect.rows
            }
            assert len(outcomes) == len(dialect.rows), "two rows have the same name"
            lines += table_of(dialect, outcomes)
    return header("Request fields") + INTRODUCTION + "\n".join([*lines, *betas()]) + "\n"


def betas() -> Iterator[str]:
    yield "\n## Header `anthropic-beta`\n"
    yield "On `/v1/messages` in native mode these names reach Bedrock, and those of `ANTHROPIC_BETAS`. Others are ignored,"
    yield "since Bedrock refuses a call for one beta that it does not know. In translated mode all are ignored.\n"
    yield "| name | sent as |"
    yield "|---|---|"
    for name in PASSED:
        yield f"| `{name}{'*' if name.endswith('-') else ''}` | the same |"
    for name in PASSED_TO_NEWER:
        yield f"| `{name}` | the same, to Claude 4.7 and later |"
    for name, sent in RENAMED.items():
        yield f"| `{name}` | {' and '.join(f'`{each}`' for each in sent)} |"
