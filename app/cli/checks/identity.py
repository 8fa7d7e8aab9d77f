"""The steps that show whether callers with tokens can be verified."""

from app.cli.checks.step import Step
from app.composition.gateway import Gateway

_REMEDY = (
    "check `issuer`, `jwks_uri` and `algorithms` of [[identity.oidc]], `regions` of [identity.iam], and the network: "
    "DNS, HTTPS_PROXY, NO_PROXY, VPC endpoints; for TLS, AWS_CA_BUNDLE"
)


def identity_steps(gateway: Gateway) -> list[Step]:
    """Return a step for each issuer and each host of STS that `[identity]` names."""
    external = gateway.external_callers
    if external is None:
        return []
    return [Step(name=name, run=run, remedy=_REMEDY, is_remedy_final=True) for name, run in external.tokens.checks()]
