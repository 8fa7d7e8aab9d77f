"""The emulator as an ASGI application."""

import asyncio
import logging
import uuid

from starlette.types import Receive, Scope, Send

from app.emulator.auth import Authenticator
from app.emulator.errors import ServiceError, invalid
from app.emulator.llm import LocalModel
from app.emulator.model_runner import ModelRunner
from app.emulator.protocol import ABORT
from app.emulator.quotas import Quotas
from app.emulator.receiving import read_body, while_connected
from app.emulator.responses import CompleteResponse
from app.emulator.routes import Routes
from app.emulator.sending import send_complete, send_error, send_stream

_log = logging.getLogger(__name__)

_INTERNAL_ERROR = "The system encountered an unexpected error during processing. Try your request again."


class Emulator:
    """The application.

    Args:
        llm: the local language model, or None. quotas: those that are enforced, or None.
    """

    def __init__(
        self, authenticator: Authenticator, llm: LocalModel | None = None, quotas: Quotas | None = None
    ) -> None:
        self._authenticator = authenticator
        self._llm = llm
        self._routes = Routes(ModelRunner(llm, quotas=quotas))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._serve_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve_request(scope, receive, send)

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self._llm is not None:
                await asyncio.to_thread(self._llm.close)
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid.uuid4())
        try:
            body = await read_body(receive)
            service = self._authenticate(scope, body)
            response = await while_connected(self._routes.dispatch(scope, body, service), receive)
            if isinstance(response, CompleteResponse):
                headers = {"x-amzn-requestid": request_id, **response.headers}
                await send_complete(send, 200, response.body, headers)
            else:
                await while_connected(send_stream(send, response, request_id), receive)
        except ServiceError as error:
            await send_error(send, error, request_id)
        except ConnectionError:
            if ABORT in scope.get("extensions", {}):
                scope["extensions"][ABORT]["abort"]()
        except (AttributeError, LookupError, TypeError) as error:
            # a body in a model's own format is read without checks, and Bedrock refuses a malformed one
            _log.warning("the emulator cannot read a request body: %s", error)
            await send_error(send, invalid("The request body is malformed."), request_id)
        except Exception:  # noqa: BLE001 -- a defect of the emulator must still be answered as Bedrock would
            _log.exception("the emulator failed")
            await send_error(send, ServiceError("InternalServerException", _INTERNAL_ERROR), request_id)

    def _authenticate(self, scope: Scope, body: bytes) -> str:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        url = f"{scope['scheme']}://{headers.get('host', '')}{scope['raw_path'].decode('latin-1')}"
        return self._authenticator.authenticate(scope["method"], f"{url}?{query}" if query else url, headers, body)
