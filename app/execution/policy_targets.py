"""Applies the policy of a caller to the targets of its calls."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from app.converse.call import Surface
from app.errors import PermissionRefused
from app.governance.guardrail import Guardrail, guardrail_of
from app.governance.identity.caller import Policy
from app.models.capability_values import CapabilityValues
from app.models.short_names import names_in, names_of
from app.routing.planner import DEFAULT_ALIAS, Target

_MAX_KEPT = 4096
_MAX_NAME = 512
_TWO_GUARDRAILS = "the guardrail of this API key is not that of this deployment, and a call can have one only"


class _Kept(Struct, frozen=True):
    policy: Policy
    targets: Sequence[Target]
    allowed: list[Target]


class PolicyTargets(Struct, frozen=True):
    """Refuses the models that a policy does not allow, and limits the others. What it decided is remembered.

    guardrail: that of the deployment, if it has one.
    """

    guardrail: Guardrail | None = None
    _kept: dict[tuple[int, str], _Kept] = field(default_factory=dict)

    def of(self, policy: Policy, name: str, targets: list[Target]) -> list[Target]:
        """Return the targets of a name, limited by a policy.

        Raises:
            PermissionRefused: the policy does not allow the name, or has another guardrail than the deployment.
        """
        key = id(policy), name
        kept = self._kept.get(key)
        if kept is not None and kept.policy is policy and kept.targets is targets:
            return kept.allowed
        check_model(policy, name, targets)
        if self.guardrail is not None and guardrail_of(policy) not in (None, self.guardrail):
            raise PermissionRefused(_TWO_GUARDRAILS)
        allowed = [_limited(policy, target) for target in targets]
        if len(name) <= _MAX_NAME:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[key] = _Kept(policy, targets, allowed)
        return allowed


def check_model(policy: Policy, name: str, targets: Sequence[Target]) -> None:
    """Check that a policy allows a name. Raises PermissionRefused."""
    if not allows_model(policy, name, targets):
        shown = repr(name) if name else "of this deployment"
        raise PermissionRefused(
            f"this API key may not call the model {shown}: GET /v1/models lists the models that it may call",
            param="model",
        )


def allows_model(policy: Policy, name: str, targets: Sequence[Target]) -> bool:
    """Return whether a policy allows a name: by the name itself, or by each model that is called for it.

    Args:
        targets: of the name; none if no model can have it.
    """
    if not policy.models:
        return True
    called = names_in(name or DEFAULT_ALIAS)
    if not targets:
        return policy.allows(called)
    return all(policy.allows(called | names_of(target.model) | names_of(target.model_behind)) for target in targets)


def _limited(policy: Policy, target: Target) -> Target:
    """Return a target with the lengths that a policy allows, and only with surfaces that apply its guardrail."""
    largest, default = policy.largest_max_tokens, policy.default_max_tokens or policy.largest_max_tokens
    if default is not None:
        capabilities = target.capabilities
        values: CapabilityValues = {"output": {"default_length": default}}
        if largest is not None:
            values["max_output"] = min(largest, capabilities.max_output)
        target = replace(target, capabilities=capabilities.with_values(values))
    if not policy.guardrail_id:
        return target
    native = target.capabilities.native
    formats = frozenset(each for each in target.native_formats if native.surface(each) is Surface.INVOKE)
    translated_to = target.translated_to if target.translated_to in formats else "converse"
    return replace(target, native_formats=formats, translated_to=translated_to, counts_on_mantle=False)
