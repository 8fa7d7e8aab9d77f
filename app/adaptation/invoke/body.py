"""The passes over a body of Anthropic's Messages, in their order."""

from collections.abc import Sequence

from app.adaptation.invoke.adapted_body import AdaptedInvokeBody
from app.adaptation.invoke.betas import EDITS, EDITS_OF_THINKING, EFFORT, OF_FIELDS, filter_betas
from app.adaptation.invoke.blocks import is_blank, without_blanks
from app.adaptation.invoke.cache_control import with_known_cache_control
from app.adaptation.invoke.messages import adapt_messages
from app.adaptation.invoke.reasoning import drop_foreign
from app.adaptation.invoke.settings import adapt_settings
from app.adaptation.invoke.tools import adapt_tools
from app.converse.call import NativeCall
from app.models.capabilities import Capabilities
from app.wire.documents import listed, text_in
from app.wire.json import JsonObject

_VERSION = "bedrock-2023-05-31"
_NEWEST_VERSION = "2026-10-21"
_FIELDS = frozenset(
    {
        "compaction", "context_management", "fallback_credit_token", "max_tokens", "messages", "metadata",
        "output_config", "safeguards", "stop_sequences", "system", "temperature", "thinking", "tool_choice",
        "tools", "top_k", "top_p",
    }
)  # fmt: skip
_CARRIED_ELSEWHERE = frozenset({"model", "stream", "anthropic_version", "anthropic_beta", "cache_control"})
_KNOWN = _FIELDS | _CARRIED_ELSEWHERE


def adapt_invoke(
    call: NativeCall, capabilities: Capabilities, also_passed: frozenset[str] = frozenset()
) -> AdaptedInvokeBody:
    """Return the body that a model's InvokeModel accepts. The call's document is not changed.

    Args:
        also_passed: betas that this deployment passes.

    Raises:
        InvalidRequest: the body contains a URL, with the path of the field.
    """
    document = call.document
    body = {name: value for name, value in document.items() if name in _FIELDS and value is not None}
    adapted = AdaptedInvokeBody(body, capabilities)
    if not document.keys() <= _KNOWN:
        adapted.ignored += [name for name, value in document.items() if name not in _KNOWN and value is not None]
    _adapt_betas(adapted, call.betas, document, also_passed)
    adapt_settings(adapted)
    if (
        "output_config" in body
        and capabilities.reasoning.budget_and_effort
        and text_in(body["output_config"], "effort")
    ):
        adapted.add_beta(EFFORT)
    if capabilities.context.is_extended:
        adapted.add_beta(capabilities.context.beta)
    if capabilities.reasoning.drop_foreign:
        drop_foreign(adapted)
    adapt_messages(adapted, document.get("cache_control"))
    if "context_management" in body:
        _adapt_edits(adapted)
    if "tools" in body:
        adapt_tools(adapted)
    if "system" in body:
        _adapt_system(adapted)
    version = document.get("anthropic_version") or call.version
    is_newest = version == _NEWEST_VERSION and capabilities.native.newest_anthropic_version
    body["anthropic_version"] = _NEWEST_VERSION if is_newest else _VERSION
    if adapted.betas:
        body["anthropic_beta"] = adapted.betas
    return adapted


def _adapt_betas(
    adapted: AdaptedInvokeBody, in_header: Sequence[str], document: JsonObject, also_passed: frozenset[str]
) -> None:
    in_body = document.get("anthropic_beta")
    if not in_header and in_body is None and OF_FIELDS.keys().isdisjoint(adapted.body):
        return
    strings = [each for each in listed(in_body) if isinstance(each, str)]
    needed = [beta for name, beta in OF_FIELDS.items() if name in adapted.body]
    is_newer = adapted.capabilities.native.newest_anthropic_version
    adapted.betas, dropped = filter_betas([*in_header, *strings, *needed], also_passed, is_newer=is_newer)
    for name, beta in OF_FIELDS.items():
        if beta in dropped and adapted.body.pop(name, None) is not None:
            adapted.ignored.append(name)
    adapted.ignored += [f"anthropic-beta:{beta}" for beta in dropped]
    if in_body is not None and strings != in_body:
        adapted.ignored.append("anthropic_beta")


def _adapt_edits(adapted: AdaptedInvokeBody) -> None:
    """Keep the edits of the context that Bedrock accepts, each with its beta."""
    management = adapted.body.pop("context_management")
    edits = listed(management.get("edits")) if isinstance(management, dict) else []
    thinks = text_in(adapted.body.get("thinking"), "type") in ("enabled", "adaptive")
    accepted = EDITS.keys() if thinks else EDITS.keys() - EDITS_OF_THINKING
    kept = [edit for edit in edits if text_in(edit, "type") in accepted]
    if len(kept) < max(len(edits), 1) or set(management) != {"edits"}:
        adapted.ignored.append("context_management")
    if kept:
        adapted.body["context_management"] = {"edits": kept}
        for kind in dict.fromkeys(edit["type"] for edit in kept):
            adapted.add_beta(EDITS[kind])


def _adapt_system(adapted: AdaptedInvokeBody) -> None:
    body = adapted.body
    if isinstance(body.get("system"), list):
        system = [
            with_known_cache_control(block, f"system[{index}]", adapted) if isinstance(block, dict) else block
            for index, block in enumerate(body["system"])
        ]
        body["system"] = without_blanks(system, adapted)
    if body["system"] == [] or is_blank(body["system"]):
        del body["system"]
        adapted.adjust("blank_text")
