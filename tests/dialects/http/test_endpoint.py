"""Errors of an endpoint do not keep the request in memory."""

import gc
import weakref
from typing import Any

from app.dialects.http.endpoint import RECORD, Endpoint, IngressLimits, head_of
from app.dialects.http.endpoint_spec import EndpointSpec
from app.dialects.http.responses import Answer
from app.dialects.openai.common.errors import render_error
from app.errors import InvalidRequest
from app.execution.request_context import RequestContext
from app.governance.address_permits import AddressPermits
from app.governance.admission import Admission
from app.governance.held_bytes import ByteLimit
from app.governance.identity.authenticator import Authenticator
from app.governance.identity.failed_attempts import FailedAttempts
from app.governance.identity.open_access import OpenAccess
from app.observability.observer import RequestRecord


async def test_refused_request_leaves_no_reference_cycle() -> None:
    held: list[weakref.ref[Any]] = []

    async def refuse(context: RequestContext) -> Answer:
        document = {context.body}
        held.append(weakref.ref(document))
        try:
            raise InvalidRequest("no")
        except InvalidRequest as error:
            failure = error
        raise failure

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    async def send(_: Any) -> None: ...

    ingress_limits = IngressLimits(
        Authenticator({}, open_access=OpenAccess(from_anywhere=True)),
        Admission(1),
        Admission(1),
        {},
        AddressPermits(1),
        FailedAttempts(),
        ByteLimit(99),
        ByteLimit(99),
        ByteLimit(99),
        99,
        9.0,
        9.0,
    )
    scope = {"method": "POST", "path": "/", "query_string": b"", "headers": [], "path_params": {}}
    gc.disable()
    try:
        spec = EndpointSpec(
            method="POST",
            path="/",
            dialect="openai",
            handler=refuse,
            render_error=render_error,
            name="",
            summary="",
            description="",
            tags=(),
        )
        endpoint = Endpoint(spec, "/", ("POST",), ingress_limits)
        await endpoint.handle({**scope, RECORD: RequestRecord("r", "POST")}, receive, send, head_of(scope))
        assert [each() for each in held] == [None]
    finally:
        gc.enable()
