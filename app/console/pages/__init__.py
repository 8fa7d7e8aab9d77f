"""The pages of the console. Each module has those of one title."""

from starlette.responses import Response

from app.console.page_spec import PageSpec
from app.console.pages import limits, models, overview, playground, quotas, requests, sign_in
from app.console.people import CALLER_PAGES
from app.console.visit import Visit

_OF_DATABASE = {
    "Keys": "Here you hand out keys, each with its own limits, budget and models.",
    "Teams": "Keys belong to teams, which share limits, budgets and models.",
    "Usage": "The ledger in a database tells which team, key and model used how much.",
    "Audit": "Every change of a team or a key is recorded in a database: who, when, from where, before and after.",
}


def pages_of(*, has_database: bool) -> tuple[PageSpec, ...]:
    """Return the pages. Without a database some only say how to get one."""
    always = (
        *sign_in.PAGES,
        *overview.PAGES,
        *playground.PAGES,
        *quotas.PAGES,
        *requests.PAGES,
        *models.PAGES,
        *limits.PAGES,
    )
    if not has_database:
        return (*always, *(_needing_database(title, purpose) for title, purpose in _OF_DATABASE.items()))
    # they load the libraries of databases
    from app.console.pages import audit, keys, teams, usage

    return (*always, *keys.PAGES, *teams.PAGES, *usage.PAGES, *audit.PAGES)


def _needing_database(title: str, purpose: str) -> PageSpec:
    async def show(visit: Visit) -> Response:
        return visit.page("no_database.html", title, purpose=purpose)

    return PageSpec("GET", f"/{title.lower()}", show, title, "signed_in" if title in CALLER_PAGES else "admin")
