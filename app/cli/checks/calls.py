"""The smallest call that a model takes."""

from collections.abc import Callable

from app.adaptation.embeddings import EmbeddingCall, adapt_embeddings, vectors_of
from app.adaptation.rerank import RerankCall, adapt_rerank, scores_of
from app.cli.checks.step import NotTried
from app.converse.call import ModelCall
from app.converse.reply import Reply
from app.converse.request import ConverseRequest
from app.execution.operations.converse import ConverseOperation
from app.execution.operations.invoke import InvokeOperation
from app.execution.operations.operation import Operation
from app.execution.operations.translated import TranslatedOperation
from app.models.capabilities import Capabilities
from app.routing.planner import Target
from app.wire import json
from app.wire.json import JsonObject

_ONE_TOKEN: ConverseRequest = {
    "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
    "inferenceConfig": {"maxTokens": 1},
}


def smallest_call(target: Target) -> Operation[str]:
    """Return a call that describes its result: one token, one embedding or one rerank.

    Raises:
        NotTried: the model takes none of them.
    """
    capabilities = target.capabilities
    if capabilities.embeddings.member:
        (body,) = adapt_embeddings(EmbeddingCall("", ["Hi"]), capabilities).bodies
        return _invoke(body, lambda document: f"{len(vectors_of(document)[0])} dimensions")
    if capabilities.rerank.accepted:
        call = RerankCall("", "Hi", ["Hi", "Bye"])
        return _invoke(adapt_rerank(call, capabilities), lambda document: f"{len(scores_of(document, call))} scores")
    if not capabilities.output.text:
        raise NotTried(f"{target.model.raw}: makes no text, and its calls are not cheap")
    one_token = ModelCall("", _ONE_TOKEN)
    if target.translated_to != "converse":
        return TranslatedOperation.of(one_token, target, _describe)
    return ConverseOperation.of(one_token, target, _describe)


def is_chat(capabilities: Capabilities) -> bool:
    """Return whether a model takes texts and answers with one."""
    return capabilities.output.text and not capabilities.embeddings.member and not capabilities.rerank.accepted


def _describe(reply: Reply) -> str:
    return f"{reply['usage']['totalTokens']} tokens, stop reason {reply['stopReason']}"


def _invoke(body: JsonObject, describe: Callable[[JsonObject], str]) -> InvokeOperation[str]:
    # no guardrail looks at a text that nobody wrote
    return InvokeOperation(body=json.dumps(body), usage_of=lambda *_: None, make=describe, is_checked=True)
