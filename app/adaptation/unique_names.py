"""Names that a model accepts only once each."""


class Unused:
    """Makes names unique by a number at their end.

    Args:
        numbered: the format of a name and a number, as `{}-{}`.
    """

    def __init__(self, numbered: str) -> None:
        self._numbered = numbered
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}

    def take(self, wanted: str, beginning: str) -> str:
        """Return the name if it is not taken, else `beginning` with a number; the result is taken from then on."""
        unique = wanted
        while unique in self._taken:
            number = self._last[beginning] = self._last.get(beginning, 1) + 1
            unique = self._numbered.format(beginning, number)
        self._taken.add(unique)
        return unique
