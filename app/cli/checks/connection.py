"""The steps of a call to Bedrock, for the gateway's own region and account."""

from app.adaptation.embeddings import EmbeddingCall
from app.bedrock.credentials import BearerToken, CredentialsProvider
from app.bedrock.endpoints import DEFAULT_LOCATION
from app.cli.checks.calls import smallest_call
from app.cli.checks.models import ListedModels
from app.cli.checks.step import Step, new_context
from app.composition.gateway import Gateway
from app.config.settings import Settings
from app.errors import ModelNotFound
from app.execution.embeddings import embed


def credentials_step(credentials: CredentialsProvider, location: str = "") -> Step:
    """Resolve the credentials of a location; the gateway's own has no name."""
    remedy = (
        "the gateway's identity needs sts:AssumeRole on the target's role, which must trust it"
        if location
        else "set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK, "
        "or run where a role is attached"
    )
    name = f"credentials {location}".strip()
    return Step(name=name, run=lambda: _resolve(credentials), remedy=remedy, is_remedy_final=True)


def connection_steps(gateway: Gateway, settings: Settings, listed: ListedModels) -> list[Step]:
    """Return the steps that need the gateway's own credentials."""
    list_models = Step(
        name="list models",
        run=lambda: _list(listed),
        remedy="the identity needs bedrock:ListFoundationModels and bedrock:ListInferenceProfiles, and the network "
        f"must reach {gateway.client.endpoints['bedrock'].origin}",
    )
    call = Step(
        name="one-token call",
        run=lambda: _call(gateway, listed),
        remedy=f"the identity needs bedrock:InvokeModel on {settings.bedrock_model_id}, the account needs access to it "
        f"in {settings.aws_region}, and the network must reach {gateway.client.endpoints['bedrock-runtime'].origin}; "
        "check the targets of a route called default, and GUARDRAIL_ID; a target's role needs sts:AssumeRole",
    )
    if not (embedding_model := settings.embedding_model_id):
        return [list_models, call]
    remedy = f"EMBEDDING_MODEL_ID={embedding_model} must make embeddings, and the identity be allowed to call it"
    return [list_models, call, Step(name="embedding", run=lambda: _embed(gateway, embedding_model), remedy=remedy)]


async def _resolve(credentials: CredentialsProvider) -> str:
    identity = await credentials.get()
    if isinstance(identity, BearerToken):
        return "a Bedrock API key"
    return f"access key {identity.access_key[:4]}…{identity.access_key[-4:]}"


async def _list(listed: ListedModels) -> str:
    return f"{len(await listed.of(DEFAULT_LOCATION))} models and profiles can be called"


async def _call(gateway: Gateway, listed: ListedModels) -> str:
    """Call the default model, by its route and with the guardrail."""
    context, targets = new_context(), gateway.executor.planner.as_named("")
    try:
        found = await gateway.executor.run(context, "", smallest_call)
    except ModelNotFound:
        if len(targets) > 1:
            raise
        raise await listed.not_found(targets[0]) from None
    failed = [f"{each.target}: {each.error}" for each in context.record.tries if each.error]
    before = f"; before it {', '.join(failed)}" if failed else ""
    return f"{context.record.target}: {found}{before}"


async def _embed(gateway: Gateway, model: str) -> str:
    (vector,) = await embed(gateway.executor, new_context(), EmbeddingCall(model, ["Hi"]))
    return f"{model}: {len(vector)} dimensions"
