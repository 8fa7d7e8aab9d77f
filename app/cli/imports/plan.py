"""What an import creates: teams, their keys, and what is not carried over."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import count

from msgspec import Struct, field, structs

from app.cli.administration.client import AdminClient, Document, list_all

# marks what was imported, so that a second run leaves it out
ORIGIN = "imported_from"
MAX_NAME = 128


class Planned(Struct, frozen=True):
    """A team or a key. body: as the admin API takes it. losses: what of it is not carried over."""

    body: Document
    losses: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["name"])

    def marked(self, origin: str) -> Planned:
        """Return it with the label that says where it came from."""
        return structs.replace(self, body={**self.body, "labels": {**self.body.get("labels", {}), ORIGIN: origin}})


class Plan(Struct):
    """teams: by their ids in the source. keys: with the team of each. left_out: which keys, and why."""

    teams: dict[str, Planned] = field(default_factory=dict)
    keys: list[tuple[str, Planned]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def losses(self) -> Iterator[str]:
        """Yield what is not carried over, with the name of its team or key."""
        yield from self.left_out
        for kind, planned in [
            *(("team", each) for each in self.teams.values()),
            *(("key", each) for _, each in self.keys),
        ]:
            for loss in planned.losses:
                yield f"{kind} {planned.name}: {loss}"


def carry_out(client: AdminClient, plan: Plan) -> Iterator[tuple[str, Planned, Document]]:
    """Create the teams and keys that do not exist yet. Yields each, of the kind `team` or `key`, with what was created.

    A team that was imported is found by its label, any other by its name. A team of the source whose name is taken
    gets another one: its keys must not have the limits of a different team.

    Raises:
        click.ClickException: the admin API refuses one; those before it exist.
    """
    ids: dict[str, str] = {}
    existing = [*list_all(client, "teams")]
    by_name = {each["name"]: each["id"] for each in existing}
    by_origin = {each["labels"].get(ORIGIN): each["id"] for each in existing}
    for source, planned in plan.teams.items():
        origin = planned.body.get("labels", {}).get(ORIGIN)
        found = by_name.get(planned.name) if origin is None else by_origin.get(origin)
        if found is not None:
            ids[source] = found
            continue
        created = client.call("POST", "teams", body={**planned.body, "name": _free_name(planned.name, by_name)})
        ids[source] = by_name[created["name"]] = created["id"]
        yield "team", planned, created
    known = {each["labels"].get(ORIGIN) for each in list_all(client, "keys")}
    for source, planned in plan.keys:
        origin = planned.body["labels"][ORIGIN]
        if origin not in known:
            # pages that were fetched one after the other may have a key twice
            known.add(origin)
            yield "key", planned, client.call("POST", "keys", body={**planned.body, "team_id": ids[source]})


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return a name, with a number if it is taken."""
    numbered = (f"{name[: MAX_NAME - 8]} {number}" for number in count(2))
    return name if name not in taken else next(each for each in numbered if each not in taken)
