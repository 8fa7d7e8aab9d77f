"""Capabilities: every row of the tables applies to a real id and names its evidence; every field is documented."""

import ast
import inspect
from itertools import pairwise
from typing import get_type_hints

import pytest
from msgspec import Struct

from app.models.capabilities import Capabilities, capabilities_of
from app.models.capability_values import CapabilityValues, merged, names_in
from app.models.families import FAMILIES
from app.models.ids import parse_model_id

REAL_IDS = {
    "amazon.titan-embed-text-v1": "titan-embed-1",
    "amazon.titan-embed-text-v2:0": "titan-embed-2",
    "amazon.titan-embed-image-v1": "titan-embed-image",
    "us.twelvelabs.marengo-embed-2-7-v1:0": "marengo-2",
    "us.twelvelabs.marengo-embed-3-0-v1:0": "marengo-3",
    "amazon.nova-2-multimodal-embeddings-v1:0": "nova-embed",
    "cohere.embed-multilingual-v3": "cohere-embed-3",
    "us.cohere.embed-v4:0": "cohere-embed-4",
    "anthropic.claude-sonnet-5": "claude-5",
    "us.anthropic.claude-fable-5": "claude-fable-5",
    "anthropic.claude-mythos-5": "claude-mythos-on-mantle",
    "anthropic.claude-mythos-preview": "claude-mythos-on-mantle",
    "us.anthropic.claude-fable-5-1": "claude-5.5",
    "us.anthropic.claude-fable-5-2": "claude-5.5",
    "anthropic.claude-opus-5-5": "claude-5.5",
    "us.anthropic.claude-sonnet-5-5": "claude-sonnet-5.5",
    "us.anthropic.claude-haiku-5-5": "claude-haiku-5.5",
    "us.anthropic.claude-opus-4-8": "claude-opus-4.8",
    "anthropic.claude-opus-4-7": "claude-opus-4.7",
    "us.anthropic.claude-sonnet-4-6": "claude-4.6",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": "claude-sonnet-4.5",
    "anthropic.claude-haiku-4-5-20251001-v1:0": "claude-4.5",
    "anthropic.claude-haiku-4-5": "claude-haiku-4.5-on-mantle",
    "anthropic.claude-opus-4-5-20251101-v1:0": "claude-opus-4.5",
    "anthropic.claude-opus-4-1-20250805-v1:0": "claude-4.1",
    "anthropic.claude-sonnet-4-20250514-v1:0": "claude-sonnet-4",
    "anthropic.claude-opus-4-20250514-v1:0": "claude-opus-4",
    "anthropic.claude-3-7-sonnet-20250219-v1:0": "claude-4",
    "anthropic.claude-3-5-haiku-20241022-v1:0": "claude-3.5-haiku",
    "anthropic.claude-3-5-sonnet-20241022-v2:0": "claude-3.5",
    "anthropic.claude-3-haiku-20240307-v1:0": "claude-3",
    "anthropic.claude-v2:1": "claude-2",
    "us.amazon.nova-2-lite-v1:0": "nova-2",
    "amazon.nova-canvas-v1:0": "nova-media",
    "amazon.nova-reel-v1:1": "nova-media",
    "us.amazon.nova-premier-v1:0": "nova-premier",
    "amazon.nova-micro-v1:0": "nova",
    "amazon.titan-text-express-v1": "titan-text",
    "openai.gpt-oss-120b-1:0": "gpt-oss",
    "openai.gpt-oss-safeguard-20b": "gpt-oss-safeguard",
    "us.openai.gpt-5.6-sol": "gpt",
    "global.openai.gpt-6-astra": "gpt-6-astra",
    "us.openai.gpt-6.1-sol": "gpt-6-astra",
    "us.openai.gpt-6-sol": "gpt-6",
    "us.openai.gpt-6.1-terra": "gpt-6",
    "openai.gpt-5.5": "gpt-5",
    "openai.gpt-5.6-cyber": "gpt-on-mantle",
    "openai.gpt-5.10": "gpt",
    "us.xai.grok-4.6": "grok-4.6",
    "xai.grok-4.3": "grok-4.3",
    "global.moonshotai.kimi-k3": "kimi-k3",
    "moonshotai.kimi-k2.5": "kimi",
    "moonshot.kimi-k2-thinking": "kimi",
    "us.xai.grok-4.7": "grok-4.6",
    "google.gemma-4-31b": "gemma-4",
    "qwen.qwen3-32b-v1:0": "qwen3",
    "google.gemma-3-27b-it": "gemma-3",
    "minimax.minimax-m2": "minimax",
    "zai.glm-4.6": "chat-on-mantle",
    "deepseek.v3.1": "chat-on-mantle",
    "qwen.qwen3-coder-30b-a3b-instruct": "chat-on-mantle",
    "openai.gpt-oss-20b": "gpt-oss-on-mantle",
    "zai.glm-4.7-flash": "glm",
    "us.zai.glm-5.3": "glm-5.3",
    "mistral.ministral-3-8b-instruct": "mistral-native-output",
    "us.mistral.pixtral-large-2502-v1:0": "mistral",
    "us.writer.palmyra-x5-v1:0": "writer",
    "nvidia.nemotron-nano-3-30b": "nemotron-nano",
    "us.meta.llama4-maverick-17b-instruct-v1:0": "llama",
    "us.deepseek.r1-v1:0": "deepseek-r1",
    "deepseek.v3-v1:0": "deepseek-v3",
    "cohere.rerank-v3-5:0": "cohere-rerank",
    "amazon.rerank-v1:0": "amazon-rerank",
    "local.smollm2-135m-instruct-v1:0": "smollm2",
    "nvidia.nemotron-super-3-120b": "others",
    "scripted.echo-v1:0": "unknown",
}


@pytest.mark.parametrize(("model", "family"), REAL_IDS.items())
def test_a_real_id_has_its_family(model: str, family: str) -> None:
    assert capabilities_of(parse_model_id(model)).family == family


def test_every_row_is_reached_and_has_evidence() -> None:
    assert {row.family for row in FAMILIES} == set(REAL_IDS.values()) - {"unknown"}
    assert all(len(row.evidence) > 20 for row in FAMILIES)


def test_a_row_names_only_values_that_differ_from_the_defaults() -> None:
    for row in FAMILIES:
        for group, values in row.values.items():
            if group == "max_output":
                continue
            assert isinstance(values, dict)
            for name, value in values.items():
                assert getattr(getattr(Capabilities(), group), name) != value, (row.family, group, name)


GROUPS = [
    Capabilities,
    *(type(getattr(Capabilities(), name)) for name in get_type_hints(CapabilityValues) if name != "max_output"),
]


@pytest.mark.parametrize("group", GROUPS)
def test_every_capability_has_a_docstring(group: type[Struct]) -> None:
    (node,) = ast.parse(inspect.getsource(group)).body
    assert isinstance(node, ast.ClassDef)
    documented = [
        before.target.id
        for before, after in pairwise(node.body)
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    ]
    assert documented == list(group.__struct_fields__)


def test_values_have_the_fields_of_capabilities() -> None:
    groups = get_type_hints(CapabilityValues)
    assert {*groups, "family"} == set(Capabilities.__struct_fields__)
    for name, values in groups.items():
        if name != "max_output":
            assert list(get_type_hints(values)) == list(getattr(Capabilities(), name).__struct_fields__)


def test_values_of_one_group_are_merged_field_by_field() -> None:
    values = merged({"tools": {"accepted": False}, "max_output": 5}, {"tools": {"plain_ids": True}}, {"max_output": 6})
    assert values == {"tools": {"accepted": False, "plain_ids": True}, "max_output": 6}
    assert names_in(values) == ["max_output", "tools.accepted", "tools.plain_ids"]
    changed = Capabilities().with_values(values)
    assert (changed.tools.accepted, changed.tools.plain_ids, changed.max_output) == (False, True, 6)
    assert changed.tools.choices == Capabilities().tools.choices
