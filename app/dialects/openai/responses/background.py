"""Runs responses in the background: `background: true`, and `POST /v1/responses/{id}/cancel`.

The request is answered at once with a stored response in progress. The gateway then sends the request to itself, so
that it takes a permit, has a timeout and a log line of its own, and stores the result under the same id. No surface of
Bedrock is known to run responses in the background.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.types import ASGIApp, Message, Scope

from app.dialects.http.endpoint import CALLER
from app.dialects.http.handler import DialectHandler
from app.dialects.http.media_urls import fetch_media
from app.dialects.http.request_body import read_object
from app.dialects.http.responses import JSON, Answer, CompleteResponse
from app.dialects.openai.responses.adapter import ResponsesAdapter
from app.dialects.openai.responses.request import SIGNED
from app.dialects.openai.responses.stored import IN_PROGRESS, CallersResponses, entries_of
from app.errors import BodyTooLarge, InvalidRequest, NotFound, Overloaded
from app.execution.request_context import RequestContext
from app.process.off_loop import off_loop
from app.server.request_head import RequestHead
from app.storage.responses import ResponseStore
from app.wire import json
from app.wire.documents import listed
from app.wire.json import JsonObject

_log = logging.getLogger(__name__)

_PATH = "/v1/responses"
_MEMBER = b'"background"'
# an entry with so many bytes free can become failed, with a reason
_RESERVE = 4096
# of the entries of all responses that run in this process; their requests are in memory, too
_MAX_RUNNING_BYTES = 32_000_000
# seconds until an answer is stored again that could not be stored
_PAUSES = (0.5, 1.0, 2.0, 4.0)
_TOO_LARGE = "the response is too large to be stored"
# headers of a request that are not of the request that it becomes
_OF_REQUEST = frozenset({"connection", "content-length", "expect", "transfer-encoding", "x-request-id"})

AdapterFor = Callable[[RequestContext, JsonObject], Awaitable[ResponsesAdapter]]


class BackgroundResponses:
    """The responses that this process runs in the background.

    serve: the application, which is set once it is made. tasks: those that run.
    """

    def __init__(self, store: ResponseStore) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.serve: ASGIApp | None = None
        self._store = store
        self._running: dict[str, _Run] = {}

    async def handle(self, dialect: DialectHandler, adapter_for: AdapterFor, context: RequestContext) -> Answer:
        """Answer a request for a response, at once if it is to run in the background."""
        if _MEMBER in context.body:
            body = context.body
            document = await read_object(context)
            if document.get("background") is True and self.serve is not None:
                return await self._start(dialect, adapter_for, context, document)
            context.body = body
        return await dialect.handle(context)

    async def _start(
        self, dialect: DialectHandler, adapter_for: AdapterFor, context: RequestContext, document: JsonObject
    ) -> Answer:
        _check(document, context.head)
        request = {name: value for name, value in document.items() if name != "background"}
        if dialect.executor.media is not None:
            await fetch_media(dialect.executor.media, request, context)
        adapter = await adapter_for(context, request)
        await dialect.check(context, adapter)
        response, items = adapter.begun_response(), listed(adapter.document.get("input"))
        entries = await off_loop(context.caller.name, context.size, partial(entries_of, response, items))
        size = sum(map(len, entries.values())) + _RESERVE
        self._check_room(context.caller.name, size)
        if not await self._store.put(context.caller.name, response["id"], entries, _RESERVE):
            raise BodyTooLarge("the conversation is too large to be stored, and so not run in the background")
        include = [*listed(request.get("include")), SIGNED]
        body = json.dumps({**request, "store": False, "include": include})
        run = _Run(context.caller.name, _scope(context), body, size)
        self._running[response["id"]] = run
        task = asyncio.create_task(self._run(run, context.caller.name, response, items))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return CompleteResponse(200, JSON, json.dumps(response))

    def _check_room(self, owner: str, size: int) -> None:
        """Raise Overloaded if too many responses run; those of one caller leave half of the room to others."""
        of_all = sum(run.size for run in self._running.values())
        of_owner = sum(run.size for run in self._running.values() if run.owner == owner)
        if of_all + size > _MAX_RUNNING_BYTES or of_owner + size > _MAX_RUNNING_BYTES // 2:
            raise Overloaded("too many responses run in the background")

    async def _run(self, run: _Run, owner: str, response: JsonObject, items: list[object]) -> None:
        response_id = response["id"]
        try:
            if self.serve is not None:
                await self.serve(run.scope, run.receive, run.send)
            await self._keep_patiently(owner, run.result(response), items)
        except Overloaded as error:
            _log.warning("a response in the background was not stored", extra={"fields": {"error": error.detail}})
        finally:
            del self._running[response_id]

    async def _keep_patiently(self, owner: str, ended: JsonObject, items: list[object]) -> None:
        """Store the end of a response, later if the store cannot be reached. Raises Overloaded."""
        for pause in _PAUSES:
            try:
                await self._keep(owner, ended, items)
            except Overloaded:
                await asyncio.sleep(pause)
            else:
                return
        await self._keep(owner, ended, items)

    async def _keep(self, owner: str, ended: JsonObject, items: list[object]) -> None:
        stored = await self._store.get(owner, f"response/{ended['id']}")
        # it may have been deleted, or cancelled by another process
        if stored is None or json.loads(stored)["response"]["status"] != IN_PROGRESS:
            return
        if await self._store.put(owner, ended["id"], entries_of(ended, items)):
            return
        _log.warning("a response in the background was not stored", extra={"fields": {"error": _TOO_LARGE}})
        begun: JsonObject = json.loads(stored)["response"]
        failed = {**begun, "status": "failed", "error": {"code": "server_error", "message": _TOO_LARGE}}
        await self._store.put(owner, ended["id"], entries_of(failed, items))

    def end(self, response_id: str) -> None:
        """End the call of a response, if this process runs it: it was cancelled or deleted."""
        if run := self._running.get(response_id):
            run.cancelled.set()

    async def cancel(self, context: RequestContext) -> Answer:
        """Cancel a response. Raises NotFound; InvalidRequest if it does not run in the background."""
        response_id = context.params["response_id"]
        kept = CallersResponses(self._store, context)
        stored = await kept.entry(response_id)
        if stored is None:
            raise NotFound(f"the response {response_id!r} is not kept here", param="response_id")
        response: JsonObject = stored["response"]
        if not response.get("background"):
            raise InvalidRequest("only a response in the background is cancelled", param="response_id")
        if response["status"] == IN_PROGRESS:
            response = {**response, "status": "cancelled"}
            if not await self._store.put(kept.owner, response_id, entries_of(response, stored["items"])):
                raise Overloaded("the response cannot be stored as cancelled", is_final=True)
            self.end(response_id)
        return CompleteResponse(200, JSON, json.dumps(response))

    async def close(self) -> None:
        """End the responses that run, as failed."""
        tasks = [*self.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Run:
    """One request of the gateway to itself. owner: its caller. size: of its entry.

    cancelled: ends it, as a caller does who leaves.
    """

    def __init__(self, owner: str, scope: Scope, body: bytes, size: int) -> None:
        self.owner = owner
        self.scope = scope
        self.size = size
        self.cancelled = asyncio.Event()
        self._body = body
        self._is_read = False
        self._status = 0
        self._received = b""

    async def receive(self) -> Message:
        """Return the body, and then nothing until the response is cancelled."""
        if not self._is_read:
            self._is_read, body, self._body = True, self._body, b""
            return {"type": "http.request", "body": body, "more_body": False}
        await self.cancelled.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
        else:
            self._received += message.get("body", b"")

    def result(self, begun: JsonObject) -> JsonObject:
        """Return the response at its end. begun: as it began."""
        same = {"id": begun["id"], "background": True, "store": True}
        if self._status == 200:
            return {**json.loads(self._received), **same}
        if not self._received:
            return {**begun, "status": "cancelled"}
        error = json.loads(self._received)["error"]
        code = error["code"] or ("invalid_prompt" if self._status == 400 else "server_error")
        detail = {"code": code, "message": error["message"]}
        return {**begun, "status": "failed", "error": detail}


def _check(document: JsonObject, head: RequestHead) -> None:
    if document.get("store") is False:
        raise InvalidRequest("a response in the background is stored: leave it out", param="store")
    if document.get("stream") is True:
        raise InvalidRequest("a response in the background is not streamed: retrieve it", param="stream")
    if head.headers.get("authorization", "").startswith("AWS4-"):
        reason = "a signature covers one request only: a response in the background needs the key as bearer"
        raise InvalidRequest(reason, param="authorization")


def _scope(context: RequestContext) -> Scope:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in context.head.headers.items()
        if name not in _OF_REQUEST
    ]
    return {
        "type": "http",
        "method": "POST",
        "path": _PATH,
        "raw_path": _PATH.encode(),
        "query_string": b"",
        "headers": headers,
        "client": (context.record.client, 0),
        CALLER: context.caller,
    }
