"""Calls each model that the configuration names: every alias, and every target of every route."""

from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.endpoints import DEFAULT_LOCATION
from app.cli.checks.calls import is_chat, smallest_call
from app.cli.checks.models import ListedModels
from app.cli.checks.step import NotTried, Step, new_context
from app.composition.deployment import EntryPath, describe_entries
from app.composition.gateway import Gateway
from app.config.settings import Settings
from app.config.similar_names import similar_name
from app.errors import ModelNotFound
from app.models.capabilities import capabilities_of
from app.models.ids import parse_model_id
from app.routing.planner import Choice, Planner, Route


class Named(Struct, frozen=True):
    """A target that the configuration names.

    name: the alias or route. path: of the entry that holds the model.
    """

    title: str
    name: str
    choice: Choice
    path: EntryPath


def named_targets(planner: Planner) -> list[Named]:
    """Return the target of each alias, and each target of each route."""
    aliases = [
        Named(f"alias {name}", name, Choice(model), ("aliases", name)) for name, model in planner.aliases.items()
    ]
    routes = [
        Named(f"route {name} {index + 1}", name, choice, ("routes", name, "targets", index, "model"))
        for name, route in planner.routes.items()
        for index, choice in enumerate(route.choices)
    ]
    return [*aliases, *routes]


def steps_of_names(gateway: Gateway, settings: Settings, listed: ListedModels, named: list[Named]) -> list[Step]:
    """Return a step for each target, in the order of `named`."""
    entries = describe_entries(settings, [each.path for each in named])
    return [
        Step(
            name=each.title,
            run=partial(_call, gateway, listed, each),
            remedy=f"the identity needs bedrock:InvokeModel on {each.choice.model}, and the account access to it in "
            f"{each.choice.location.region or settings.aws_region}",
            entry=entry,
        )
        for each, entry in zip(named, entries, strict=True)
    ]


async def misspelled_rows(settings: Settings, listed: ListedModels) -> list[str]:
    """Return a warning for each limit, price and quota of a text model that the region lacks, if one is similar."""
    config = settings.config()
    ids = await listed.of(DEFAULT_LOCATION)
    known = {name for model in ids for name in (model, parse_model_id(model).base)}
    paths: dict[EntryPath, str] = {}
    for table, rows in (("limits", config.limits), ("prices", config.prices), ("quotas", config.quotas)):
        for name in rows:
            is_other = not is_chat(capabilities_of(parse_model_id(name)))
            if name not in known and not is_other and (similar := similar_name(name, known, 0.9)):
                paths[table, name] = f"has no effect on a listed model: did you mean '{similar}'?"
    return [f"{entry}: {words}" for entry, words in zip(describe_entries(settings, paths), paths.values(), strict=True)]


async def _call(gateway: Gateway, listed: ListedModels, named: Named) -> str:
    executor = gateway.executor
    # a planner whose name has this target alone
    planner = replace(executor.planner, routes={named.name: Route((named.choice,))})
    (target,) = planner.as_named(named.name)
    try:
        found = await executor.run(new_context(), named.name, smallest_call, [target])
    except ModelNotFound:
        if target.is_only_on_mantle and target.translated_to == "converse":
            raise NotTried(f"{target.model.raw}: only mantle has it, which NATIVE_SURFACES leaves out") from None
        raise await listed.not_found(target) from None
    return f"{target.model.raw}{f' in {target.location_name}' if target.location_name else ''}: {found}"
