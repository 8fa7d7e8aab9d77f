"""The playground: its page, and the cost of a call. The calls themselves pass `gateway_calls`."""

from starlette.responses import JSONResponse, Response

from app.console.page_spec import PageSpec
from app.console.terms import TERMS
from app.console.visit import Refused, Visit
from app.converse.usage import Usage
from app.errors import InvalidRequest
from app.wire import json

TITLE = "Playground"
# what the script shows of an answer
_MEASURES = ("Time to first token", "Total", "Tokens", "Cost")


async def show_playground(visit: Visit) -> Response:
    """Show the page, with the default model."""
    parts = visit.parts
    return visit.page(
        "playground.html",
        TITLE,
        model=visit.query("model") or parts.gateway.executor.planner.known_as(""),
        region=parts.settings.aws_region,
        key_name="KEY_ID" if visit.who.is_admin else visit.who.caller.name,
        measures=json.dumps({name: TERMS[name] for name in _MEASURES}).decode(),
    )


async def show_cost(visit: Visit) -> Response:
    """Return what tokens cost at a model, `usd`; null where its price is not known."""
    gateway = visit.parts.gateway
    counts = {name: _count(visit, name) for name in ("input", "output", "read", "write")}
    usage = Usage(
        input=counts["input"], output=counts["output"], cache_read=counts["read"], cache_write=counts["write"]
    )
    try:
        target = gateway.executor.planner.plan(visit.query("model"), visit.who.caller.name)[0]
    except InvalidRequest:
        return JSONResponse({"usd": None})
    cost = gateway.prices.of_call(target.model.raw, target.model_behind.raw, usage, "")
    return JSONResponse({"usd": cost})


def _count(visit: Visit, name: str) -> int:
    text = visit.query(name, "0")
    if not text.isdecimal() or len(text) > 12:
        raise Refused(400, f"{name} must be a number of tokens.")
    return int(text)


PAGES = (
    PageSpec("GET", "/playground", show_playground, TITLE, "signed_in"),
    PageSpec("GET", "/playground/cost", show_cost, TITLE, "signed_in"),
)
