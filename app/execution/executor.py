"""Runs calls: over the targets of the name that the caller used, each asked in the way that suits it."""

from __future__ import annotations

import asyncio
import logging
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import partial
from typing import Any, TypeVar
from weakref import ref

from msgspec import Struct
from msgspec.structs import replace

from app.adaptation import AdaptedRequest, adapt
from app.adaptation.invoke import adapt_invoke
from app.bedrock.client import BedrockClient, BedrockRequest
from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.bedrock.transport import HttpResponse
from app.converse.call import ModelCall, NativeCall, NativeEvent
from app.converse.events import Event
from app.converse.reply import Reply
from app.errors import (
    GatewayError,
    GuardrailIntervened,
    InvalidRequest,
    ModelDiffers,
    ModelNotFound,
    NotFound,
    PermissionRefused,
    ProfileRequired,
)
from app.execution.hints import note_profile, where_else, without_guardrail
from app.execution.media import Fetcher
from app.execution.operations import operation as operations
from app.execution.operations.operation import Operation
from app.execution.relay import Relay
from app.execution.request_context import RequestContext
from app.execution.stream_readers import UsageReader
from app.governance.guardrail import Guardrail, Shown, as_text, is_missing
from app.models.ids import ModelId, parse_model_id
from app.observability.observer import Asked
from app.process.deadline import Deadline
from app.process.off_loop import off_loop
from app.routing.failover import Candidate, Failover
from app.routing.planner import DEFAULT_ALIAS, Planner, Target
from app.wire import json

_log = logging.getLogger(__name__)

T = TypeVar("T")

# the members of CountTokens' Converse input (botocore's service model)
_COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")
_PROFILE_SECONDS = 3.0
_BEHIND_SECONDS = 1.0
_MAX_OVERRIDES = 3
# the surfaces whose bodies are made for the capabilities of one model
_FITTED = frozenset({"converse", "invoke", "count-tokens"})


class Pipeline(Struct, frozen=True):
    """Runs the calls of all dialects.

    clients: those of Bedrock, by place; one of them is DEFAULT_LOCATION's.
    native_surfaces: those that are used. find_profile: the inference profile of a model, if any.
    find_behind: finds out which model stands behind a target whose name hides it; waits for some seconds at the most.
    guardrail: one that is on every call. media: fetches what callers name by URL, where that is allowed.
    """

    clients: Mapping[UpstreamLocation, BedrockClient]
    planner: Planner
    failover: Failover
    # features of Anthropic's format that this deployment lets pass beside those that are known
    betas: frozenset[str] = frozenset()
    native_surfaces: frozenset[str] = frozenset({"invoke", "openai", "mantle"})
    find_profile: Callable[[ModelId], Awaitable[str | None]] | None = None
    find_behind: Callable[[Target, float], Awaitable[None]] | None = None
    guardrail: Guardrail | None = None
    media: Fetcher | None = None

    async def run(
        self,
        context: RequestContext,
        name: str,
        operation_for: Callable[[Target], Operation[T]],
        targets: list[Target] | None = None,
    ) -> T:
        """What the first target that answers says, read in its way.

        Args:
            name: as the caller used it. operation_for: the way to ask a target; raises InvalidRequest where that target
                cannot carry the call. targets: those that are asked, if not all that the name stands for.

        Raises:
            GatewayError: as `Failover.run` does.
        """
        targets = await self.plan(name) if targets is None else targets
        record = context.record
        record.model, record.target = name or DEFAULT_ALIAS, targets[0].model.raw
        if total := targets[0].limits.total:
            context.deadline.shorten(total - record.elapsed_ms() / 1000, "limits")
        noted = list(record.ignored), list(record.adjusted)
        chosen: dict[tuple[str, UpstreamLocation], str] = {}
        # by a weak reference: an error holds its frames, and they this
        failed: list[tuple[ref[GatewayError], Asked]] = []
        first: list[Operation[T]] = []

        async def prepare(target: Target) -> Candidate[T]:
            operation = await off_loop(context.size, partial(operation_for, target))
            first.append(operation)
            if lost := operation.content_lost - first[0].content_lost:
                # what the first target could have carried must not be left out in silence
                raise InvalidRequest("no other target can carry this", param=min(lost))

            fitted, by = target, operation

            async def ask() -> T:
                nonlocal fitted, by
                for _ in range(_MAX_OVERRIDES):
                    try:
                        return await ask_by(fitted, by)
                    except ModelDiffers as error:
                        can_override = by.mode != "passthrough" and by.surface in _FITTED
                        overridden = self.planner.record_override(fitted, error) if can_override else None
                        if overridden is None:
                            raise
                        other = await self._operation_after_override(context, operation_for, overridden)
                        if other is None or other.content_lost - by.content_lost:
                            raise
                    fitted, by = overridden, other
                return await ask_by(fitted, by)

            async def ask_by(target: Target, operation: Operation[T]) -> T:
                record.has_moved = record.has_moved or target.key != targets[0].key
                record.target, record.location = target.model.raw, target.location.name
                record.mode, record.surface = operation.mode, operation.surface
                record.model_behind, record.tier = target.known.raw, operation.tier
                # what another attempt spent on an answer that was of no use is not this one's
                record.usage = None
                ignored, adjusted = [*noted[0], *operation.ignored], [*noted[1], *operation.adjusted]
                record.ignored, record.adjusted = ignored, adjusted
                try:
                    return await self._ask(context, target, operation, chosen)
                except GatewayError as error:
                    # another call of this request may have changed what the record tells meanwhile
                    name, known, location = (
                        chosen.get(target.key, target.model.raw),
                        target.known.raw,
                        target.location.name,
                    )
                    whom = name, location, operation.mode, operation.surface, known, operation.tier
                    asked = Asked(*whom, error.upstream_request_id, record.usage, ignored, adjusted)
                    failed.append((ref(error), asked))
                    raise

            return Candidate(
                (target.model.raw, target.location, operation.surface), ask, is_verbatim=operation.mode == "passthrough"
            )

        try:
            return await self.failover.run([partial(prepare, target) for target in targets], context.deadline)
        except GatewayError as error:
            # the one that is told need not be the last: the log must not lay it to another target
            for told, asked in failed:
                if told() is error:
                    record.tell_of(asked)
            raise

    async def _operation_after_override(
        self, context: RequestContext, operation_for: Callable[[Target], Operation[T]], overridden: Target
    ) -> Operation[T] | None:
        """The way to ask a target that turned out to be other than was thought; nothing if it cannot be asked so."""
        try:
            return await off_loop(context.size, partial(operation_for, overridden))
        except InvalidRequest:
            return None

    async def plan(self, name: str) -> list[Target]:
        """The targets of a name: how each is asked depends on the model that stands behind it."""
        targets = self.planner.plan(name)
        return self.planner.plan(name) if await self._look_behind(targets, _BEHIND_SECONDS) else targets

    async def _look_behind(self, targets: list[Target], timeout_seconds: float) -> bool:
        """Find out what stands behind the names of targets; True if anything had to be."""
        hidden = [target for target in targets if target.known.is_opaque]
        if not hidden or self.find_behind is None:
            return False
        await asyncio.gather(*(self.find_behind(target, timeout_seconds) for target in hidden))
        return True

    async def _ask(
        self,
        context: RequestContext,
        target: Target,
        operation: Operation[T],
        chosen: dict[tuple[str, UpstreamLocation], str],
    ) -> T:
        """Ask a target once; where its model turns out to be sold only by inference profile, by one of the region.

        Bedrock says so only when asked by the model's own id. The profile that is then found is `chosen` for the call,
        and remembered once it has worked. Callers who speak Bedrock get its refusal: their path is not touched.
        """
        record, name = context.record, target.model.raw
        if target.by_profile:
            note_profile(record)
        if target.key not in chosen:
            try:
                ask = await self._request(context, operation, target.model)
                return await self._attempt(context, target, operation, ask)
            except ProfileRequired:
                is_ours_to_choose = operation.mode != "passthrough" and target.location == DEFAULT_LOCATION
                profile = await self._profile_of(target.model, context.deadline) if is_ours_to_choose else None
                if profile is None:
                    raise
                chosen[target.key] = profile
            except (ModelNotFound, PermissionRefused) as error:
                self.planner.forget(name)
                if isinstance(error, ModelNotFound):
                    error.message += where_else(operation, target)
                raise
        record.target = chosen[target.key]
        note_profile(record)
        ask = await self._request(context, operation, parse_model_id(chosen[target.key]))
        answer = await self._attempt(context, target, operation, ask)
        self.planner.remember(name, chosen[target.key])
        return answer

    async def _attempt(
        self, context: RequestContext, target: Target, operation: Operation[T], request: BedrockRequest
    ) -> T:
        try:
            return await self.clients[target.location].attempt(
                request, context.record, operation.take, target.limits.waits
            )
        except InvalidRequest as error:
            if self.guardrail is not None and is_missing(error):
                raise without_guardrail(error) from None
            raise

    async def _request(self, context: RequestContext, operation: Operation[T], model: ModelId) -> BedrockRequest:
        request = await off_loop(context.size, partial(operation.ask, model))
        return request if operation.is_checked else await self._guarded(context, request)

    async def _guarded(self, context: RequestContext, request: BedrockRequest) -> BedrockRequest:
        """The request with the guardrail on it; what of it the guardrail would not see there, it is shown first."""
        if self.guardrail is None:
            return request
        guarded, unseen = await off_loop(len(request.body), partial(self.guardrail.guard, request))
        if unseen:
            await self._show(self.guardrail, context, unseen)
        return guarded

    async def check(self, context: RequestContext, texts: list[str]) -> None:
        """Have the guardrail look at texts which go to a model that cannot have one; a way that they take `is_checked`.

        Raises:
            GuardrailIntervened: it blocks them. GatewayError: as `run` does.
        """
        if self.guardrail is None:
            return
        await self._attempt_at(
            ("guardrail", DEFAULT_LOCATION, self.guardrail.identifier),
            partial(self._show, self.guardrail, context, [as_text(text) for text in texts]),
            context,
        )

    async def _show(self, guardrail: Guardrail, context: RequestContext, content: list[Shown]) -> None:
        """Show something to the guardrail once. Raises as `check` does."""
        tries, before = context.record.tries, len(context.record.tries)
        try:
            said = await self.clients[DEFAULT_LOCATION].attempt(
                guardrail.check(content), context.record, operations.read_document
            )
        except GatewayError as error:
            if isinstance(error, NotFound) or (isinstance(error, InvalidRequest) and is_missing(error)):
                raise without_guardrail(error) from None
            error.detail = f"ApplyGuardrail: {error.detail or error.kind}"
            raise
        finally:
            del tries[before:]  # it was no attempt at the model
        if said.get("action") != "NONE":
            raise GuardrailIntervened("the guardrail of this deployment blocked the input")

    async def _profile_of(self, model: ModelId, deadline: Deadline) -> str | None:
        if self.find_profile is None:
            return None
        try:
            async with asyncio.timeout(min(_PROFILE_SECONDS, deadline.remaining() / 2)):
                return await self.find_profile(model)
        except (GatewayError, TimeoutError) as error:
            _log.warning("no inference profile could be found: %s", type(error).__name__)
            return None

    async def complete(self, context: RequestContext, call: ModelCall) -> Reply:
        """Translate, call Converse, and return its reply in the caller's terms. Raises as `run` does."""
        return await self.run(context, call.model, lambda target: self.converse(context, call, target))

    def converse(self, context: RequestContext, call: ModelCall, target: Target) -> Operation[Reply]:
        """The way to ask a target for a whole reply by Converse."""
        return operations.converse(self._adapted(call, target), context.record)

    def converse_stream(
        self, context: RequestContext, call: ModelCall, target: Target
    ) -> Operation[Relay[list[Event]]]:
        """The way to ask a target for events by ConverseStream, a batch for each read; see `ways.converse_stream`."""
        return operations.converse_stream(self._adapted(call, target), context.record)

    def _adapted(self, call: ModelCall, target: Target) -> AdaptedRequest:
        adapted = adapt(call, target.capabilities)
        adapted.ignored[:0] = call.ignored
        return adapted

    def takes_natively(self, target: Target, body_format: str, *, with_schema: bool = False) -> bool:
        """True if a surface of a target takes bodies of this format, so that nothing needs translation.

        Args:
            with_schema: the answer has to be of a JSON schema, which the model itself may not know how to keep to.
        """
        surface = target.native_surface(body_format)
        takes_all = not with_schema or target.capabilities.schemas.structured_output == "native"
        return takes_all and surface in self.native_surfaces and (self.guardrail is None or surface == "invoke")

    def invoke(
        self, context: RequestContext, call: NativeCall, target: Target, usage_of: UsageReader
    ) -> Operation[dict[str, Any]]:
        """The way to ask a target by InvokeModel with a body of its own format.

        Args:
            usage_of: reads the tokens that a document of this format tells of.
        """
        adapted = adapt_invoke(call, target.capabilities, self.betas)
        operation = operations.invoke(adapted.body, operations.usage_or_headers(usage_of), context.record)
        return replace(operation, ignored=adapted.ignored, adjusted=adapted.adjusted)

    def invoke_stream(
        self, context: RequestContext, call: NativeCall, target: Target, usage_of: UsageReader, last: str
    ) -> Operation[Relay[list[NativeEvent]]]:
        """The way to ask a target by InvokeModelWithResponseStream; see `ways.invoke_stream`."""
        adapted = adapt_invoke(call, target.capabilities, self.betas)
        operation = operations.invoke_stream(adapted.body, usage_of, last, context.record)
        return replace(operation, ignored=adapted.ignored, adjusted=adapted.adjusted)

    def count(self, call: ModelCall, target: Target) -> Operation[int]:
        """The way to have the tokens of a call's input counted, as its target's model would get it."""
        adapted = self._adapted(call, target)
        body: Any = adapted.body
        counted = {part: body[part] for part in _COUNTED if part in body}
        operation = operations.count_tokens(target.known, {"converse": counted})
        return replace(operation, ignored=adapted.ignored, adjusted=adapted.adjusted)

    def count_natively(self, call: NativeCall, target: Target) -> Operation[int]:
        """The way to have the tokens of a body of the target's own format counted; it need not leave room to answer."""
        adapted = adapt_invoke(call, target.capabilities.with_values({"max_output": sys.maxsize}), self.betas)
        operation = operations.count_tokens(
            target.known, {"invokeModel": {"body": b64encode(json.dumps(adapted.body)).decode()}}
        )
        return replace(operation, ignored=adapted.ignored, adjusted=adapted.adjusted)

    async def forward(
        self,
        context: RequestContext,
        request: BedrockRequest,
        name: str,
        ask: Callable[[ModelId], BedrockRequest],
        take: Callable[[HttpResponse], Awaitable[T]],
    ) -> T:
        """Send a caller's own request to Bedrock, and return what `take` makes of the answer.

        Args:
            request: as it came. name: of the model in it, if any. ask: the request with another model in its place.

        Raises:
            GatewayError: as `run` does, with Bedrock's own answer in `upstream` where there was one.
        """
        record, surface = context.record, context.record.surface
        if self.planner.knows(name):
            targets = self.planner.as_named(name)
            # only the price depends on it, so nobody waits
            await self._look_behind(targets, 0.0)
            operation = Operation(
                "passthrough", surface, ask if self.planner.is_ours(name) else lambda _: request, take
            )
            answer = await self.run(context, name, lambda _: operation, targets)
            record.model_behind = self.planner.known(record.target).raw
            return answer

        async def attempt() -> T:
            return await self.clients[DEFAULT_LOCATION].attempt(await self._guarded(context, request), record, take)

        # nobody knows this name, or there is none: what is asked is the place
        return await self._attempt_at((request.service, DEFAULT_LOCATION, surface), attempt, context)

    async def _attempt_at(self, key: Hashable, attempt: Callable[[], Awaitable[T]], context: RequestContext) -> T:
        async def prepare() -> Candidate[T]:
            return Candidate(key, attempt)

        return await self.failover.run([prepare], context.deadline)
