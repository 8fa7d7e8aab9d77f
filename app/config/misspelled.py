"""Finds environment variables that look like settings and are none."""

from collections.abc import Iterable, Iterator

from app.config.environment import PREDECESSORS
from app.config.settings import Settings
from app.config.similar_names import similar_name

# variables of libraries
_FOREIGN = ("AWS_", "OTEL_")
_OURS = "BEDROCK_"
# above it, a name differs from a setting's by a letter or two, or an underscore
_SIMILARITY = 0.88


def misspelled_settings(variables: Iterable[str]) -> Iterator[str]:
    """Yield a warning for each variable that has no effect and resembles a setting, or begins with `BEDROCK_`."""
    known = {*(name.upper() for name in Settings.model_fields), *PREDECESSORS.values()}
    for name in sorted(variables):
        upper = name.upper()
        if upper in known or upper.startswith(_FOREIGN):
            continue
        is_ours = upper.startswith(_OURS)
        if similar := similar_name(upper, known) if is_ours else similar_name(upper, known, _SIMILARITY):
            yield f"{name} is not a setting and has no effect: did you mean {similar}?"
        elif is_ours:
            yield f"{name} is not a setting and has no effect"
