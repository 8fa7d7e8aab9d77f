"""The efforts of reasoning, and those of them that a model accepts."""

from collections.abc import Sequence

_SCALE = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def nearest_effort(wanted: str, accepted: Sequence[str]) -> str:
    """Return the highest accepted effort up to the wanted one, else the lowest; `none` only if it is wanted.

    An effort that is not on the scale is returned as it is.
    """
    if wanted in accepted or wanted not in _SCALE:
        return wanted
    steps = [effort for effort in accepted if effort != "none"]
    lower = [effort for effort in steps if _SCALE.index(effort) <= _SCALE.index(wanted)]
    return max(lower, key=_SCALE.index) if lower else min(steps, key=_SCALE.index)
