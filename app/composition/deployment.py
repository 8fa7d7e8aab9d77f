"""Builds the planner from the aliases, routes, limits and prices of the settings, and reports every fault in them."""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from app.aws.botocore_data import bedrock_regions
from app.bedrock.endpoints import UpstreamLocation
from app.bedrock.transport import Timeouts
from app.config.config_file import ConfigFile, TargetRow
from app.config.entries import parse_aliases
from app.config.settings import Settings, SettingsError
from app.config.similar_names import similar_name
from app.errors import InvalidRequest
from app.models.ids import parse_model_id
from app.models.prices import Prices
from app.models.short_names import id_by_rule, is_short
from app.routing.planner import DEFAULT_ALIAS, Choice, ModelLimits, Planner, Route

EntryPath = tuple[str | int, ...]

_ALIAS = "an alias or route of this deployment"


def planner_of(settings: Settings) -> Planner:
    """Build the planner of a deployment.

    Raises:
        SettingsError: an alias or route has an invalid model, or another alias or route as its model; or a row of the
            limits, prices or models has a name that is never looked up. All faults are listed.
    """
    config = settings.config()
    found = list(_faults(config))
    entries = describe_entries(settings, [path for path, _ in found]) if found else []
    faults = [f"{entry}: {fault}" for entry, (_, fault) in zip(entries, found, strict=True)]
    names = {*config.aliases, *config.routes}
    if settings.bedrock_model_id in names:
        faults.append(
            f"BEDROCK_MODEL_ID: {settings.bedrock_model_id} is {_ALIAS}: to make it the default, call it `default`"
        )
    faults += [f"BEDROCK_MODEL_ID: {fault}" for fault in _faults_of_model(settings.bedrock_model_id)]
    if settings.embedding_model_id:
        faults += [f"EMBEDDING_MODEL_ID: {fault}" for fault in _faults_of_model(settings.embedding_model_id)]
    if faults:
        raise SettingsError(faults)
    routes = {
        name: Route(tuple(map(_choice, row.targets)), row.order == "weighted") for name, row in config.routes.items()
    }
    behind = {name: parse_model_id(row.stands_for) for name, row in config.models.items()}
    limits = {
        name: ModelLimits(Timeouts(row.connect, row.first_byte, row.idle), row.total, row.default_max_tokens)
        for name, row in config.limits.items()
    }
    # of the native surfaces only InvokeModel applies guardrails
    surfaces = settings.surfaces() & {"invoke"} if settings.guardrail_id else settings.surfaces()
    return Planner(
        settings.bedrock_model_id,
        config.aliases,
        routes,
        limits,
        region=settings.aws_region,
        native_surfaces=surfaces,
        betas=settings.betas(),
        default_max_tokens=settings.default_max_tokens,
        behind=behind,
        has_several_callers=settings.has_several_callers(),
        hides_arns=not settings.expose_aws_identity,
    )


def prices_of(settings: Settings) -> Prices:
    """Return the prices of the file, with those of the deployment."""
    config = settings.config()
    own = {base: row.model_dump(exclude_none=True) for base, row in config.prices.items()}
    return Prices(own, {name: price for name, price in config.guardrail_prices if price is not None})


def models_without_price(settings: Settings, planner: Planner) -> list[str]:
    """Return the models that the deployment names and that have no price. Capacity that is billed by time has none."""
    choices = [choice.model for route in planner.routes.values() for choice in route.choices]
    names = [settings.bedrock_model_id, settings.embedding_model_id or "", *planner.aliases.values(), *choices]
    known = [planner.model_behind(name) for name in names if name]
    return prices_of(settings).without_price(model.raw for model in known if not model.is_opaque)


def quotas_without_effect(settings: Settings, planner: Planner) -> list[str]:
    """Return a warning for each quota that no call takes from: by a short name, or of a region without a target."""
    choices = [choice for route in planner.routes.values() for choice in route.choices]
    regions = {settings.aws_region, *(choice.location.region for choice in choices)} - {""}
    found: dict[EntryPath, str] = {}
    for name, row in settings.config().quotas.items():
        if is_short(name):
            likely = id_by_rule(name, settings.aws_region)
            found["quotas", name] = f"has no effect, as Bedrock knows no short names: did you mean '{likely}'?"
        for region in row.regions.keys() - regions:
            similar = similar_name(region, regions)
            advice = f": did you mean '{similar}'?" if similar else ""
            found["quotas", name, "regions", region] = f"has no effect, as no target is in this region{advice}"
    return [f"{entry}: {words}" for entry, words in zip(describe_entries(settings, found), found.values(), strict=True)]


def _choice(row: TargetRow) -> Choice:
    return Choice(row.model, UpstreamLocation(row.region, row.role, row.endpoint_url), row.weight, row.tier)


def describe_entries(settings: Settings, paths: Iterable[EntryPath]) -> list[str]:
    """Return where each entry of the configuration is: the variable, and in a file the line and the path."""
    from app.config.toml_faults import locate  # only for faults and checks

    text, aliases = settings.config_text(), parse_aliases(settings.model_aliases)
    source = "CONFIG_TOML" if settings.config_file is None else f"CONFIG_FILE='{settings.config_file}'"
    return [
        f"MODEL_ALIASES: {path[1]}"
        if path[0] == "aliases" and path[1] in aliases
        else f"{source}: {locate(path, text)}"
        for path in paths
    ]


def _faults(config: ConfigFile) -> Iterator[tuple[EntryPath, str]]:
    names = {*config.aliases, *config.routes, DEFAULT_ALIAS}
    models: dict[EntryPath, str] = {("aliases", name): model for name, model in config.aliases.items()}
    models |= {
        ("routes", name, "targets", index, "model"): target.model
        for name, row in config.routes.items()
        for index, target in enumerate(row.targets)
    }
    for path, model in models.items():
        if model in names:
            yield path, f"{model} is {_ALIAS}: write the model that it stands for"
        yield from ((path, fault) for fault in _faults_of_model(model))
    for name, known in config.models.items():
        if name in names:
            yield ("models", name), f"{name} is {_ALIAS}: write the model that it stands for"
        yield from ((("models", name), fault) for fault in _faults_of_model(name))
        yield from ((("models", name, "stands_for"), fault) for fault in _faults_of_model(known.stands_for))
    for name in config.limits:
        yield from ((("limits", name), fault) for fault in _faults_of_limit(name, config))
    for name in config.prices:
        yield from ((("prices", name), fault) for fault in _faults_of_price(name, config))
    for name in config.quotas:
        yield from ((("quotas", name), fault) for fault in _faults_of_quota(name, config))
    for name, row in config.routes.items():
        for index, target in enumerate(row.targets):
            path = "routes", name, "targets", index
            yield from (((*path, field), fault) for field, fault in _faults_of_location(target))


def _faults_of_model(model: str) -> Iterator[str]:
    try:
        parse_model_id(model)
    except InvalidRequest as error:
        yield error.message


def _faults_of_limit(name: str, config: ConfigFile) -> Iterator[str]:
    try:
        called = {called for model in _models_behind(name, config) for called in (model, parse_model_id(model).base)}
    except InvalidRequest as error:
        yield error.message
        return
    if name not in called or name == DEFAULT_ALIAS:
        others = " or ".join(sorted(called - {name})) or "what it stands for"
        yield f"a limit is found by the name of a model or by its base id, not by {_ALIAS}: write {others}"


def _faults_of_quota(name: str, config: ConfigFile) -> Iterator[str]:
    called = set(_models_behind(name, config)) - {name}
    if called or name == DEFAULT_ALIAS:
        others = " or ".join(sorted(called)) or "what it stands for"
        yield f"a quota is found by the name by which a model is called, not by {_ALIAS}: write {others}"
    else:
        yield from _faults_of_model(name)


def _faults_of_price(name: str, config: ConfigFile) -> Iterator[str]:
    try:
        bases = {parse_model_id(model).base for model in _models_behind(name, config)}
    except InvalidRequest as error:
        yield error.message
        return
    if name not in bases or name == DEFAULT_ALIAS:
        yield f"a price is found by the base id of a model: write {' or '.join(sorted(bases))}"


def _models_behind(name: str, config: ConfigFile) -> list[str]:
    if name in config.routes:
        return [target.model for target in config.routes[name].targets]
    return [config.aliases.get(name, name)]


def _faults_of_location(target: TargetRow) -> Iterator[tuple[str, str]]:
    if target.region and not target.endpoint_url and target.region not in bedrock_regions():
        similar = similar_name(target.region, bedrock_regions())
        advice = f"did you mean {similar}? For" if similar else "for"
        yield "region", f"Bedrock is not known in {target.region}; {advice} another region give endpoint_url"
    if target.endpoint_url:
        try:
            parts = urlsplit(target.endpoint_url)
            is_right = bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_right = False
        if not is_right:
            yield "endpoint_url", "must be an http:// or https:// URL"
