"""What an import creates: teams, their keys, and what is not carried over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct, field, structs

from app.cli.administration.client import AdminClient, Document, list_all

# marks what was imported, so that a second run leaves it out
ORIGIN = "imported_from"


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
    """teams: by their ids in the source; the name of one that exists is reused. keys: with the team of each."""

    teams: dict[str, Planned] = field(default_factory=dict)
    keys: list[tuple[str, Planned]] = field(default_factory=list)

    def losses(self) -> Iterator[str]:
        """Yield what is not carried over, with the name of its team or key."""
        for kind, planned in [
            *(("team", each) for each in self.teams.values()),
            *(("key", each) for _, each in self.keys),
        ]:
            for loss in planned.losses:
                yield f"{kind} {planned.name}: {loss}"


def carry_out(client: AdminClient, plan: Plan) -> Iterator[tuple[str, Document]]:
    """Create the teams and keys that do not exist yet. Yields each created object with its kind, `team` or `key`.

    Raises:
        click.ClickException: the admin API refuses one; those before it exist.
    """
    ids: dict[str, str] = {}
    for source, planned in plan.teams.items():
        found = client.call("GET", "teams", query={"name": planned.name})["data"]
        if found:
            ids[source] = found[0]["id"]
            continue
        created = client.call("POST", "teams", body=planned.body)
        ids[source] = created["id"]
        yield "team", created
    known = {each["labels"].get(ORIGIN) for each in list_all(client, "keys")}
    for source, planned in plan.keys:
        if planned.body["labels"][ORIGIN] not in known:
            yield "key", client.call("POST", "keys", body={**planned.body, "team_id": ids[source]})
