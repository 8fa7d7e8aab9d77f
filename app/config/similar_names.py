"""Finds the name that was probably meant."""

from collections import Counter
from collections.abc import Iterable


def similar_name(name: str, known: Iterable[str], similarity: float = 0.6) -> str:
    """Return the known name that resembles a name most; empty if none does.

    Args:
        similarity: how much of both is the same, at least; 1 is all.
    """
    letters = Counter(name)
    candidates = [
        each
        for each in known
        if _is_within(similarity, name, each, min(len(name), len(each)))
        and _is_within(similarity, name, each, (letters & Counter(each)).total())
    ]
    if not candidates:
        return ""
    from difflib import get_close_matches  # few processes ever meet a misspelled name

    return next(iter(get_close_matches(name, candidates, n=1, cutoff=similarity)), "")


def _is_within(similarity: float, name: str, other: str, shared: int) -> bool:
    """Tell whether two names may be similar that share so many letters, in whatever order."""
    return 2 * shared >= similarity * (len(name) + len(other))
