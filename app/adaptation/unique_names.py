"""Names of which a model takes each only once."""


class Unused:
    """Gives each name out once: as it is wanted, or where another has it with a number behind it.

    Args:
        numbered: how the beginning of a name and a number make one, as `{}-{}`.
    """

    def __init__(self, numbered: str) -> None:
        self._numbered = numbered
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}

    def take(self, wanted: str, beginning: str) -> str:
        """The name, which nobody gets again."""
        unique = wanted
        while unique in self._taken:
            number = self._last[beginning] = self._last.get(beginning, 1) + 1
            unique = self._numbered.format(beginning, number)
        self._taken.add(unique)
        return unique
