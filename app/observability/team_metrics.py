"""What teams use, for Prometheus. Only deployments with a database have teams."""

from collections.abc import Mapping

from app.observability.metrics import Gauges, Metrics

_OTHER, _NONE = "other", "none"


class TeamMetrics:
    """Counts what is posted to the ledger, by team. The first `most` teams get a label each, and the others share one.

    names: of the teams that have a label, by id. They are read beside the requests.
    """

    def __init__(self, metrics: Metrics, most: int) -> None:
        self.names: dict[str, str] = {}
        self._most = most
        self._labels: dict[str, str] = {}
        self._attempts = metrics.counts("team_attempts", "Attempts that were posted.", "team", "outcome")
        self._refused = metrics.counts("team_refused", "Calls that limits or budgets refused.", "team", "kind")
        self._tokens = metrics.counts("team_tokens", "Tokens that were posted.", "team", "type")
        self._cost = metrics.counts("team_cost_usd", "What was posted, where the price is known.", "team")
        described = "The names of the teams that have a label."
        metrics.all.append(Gauges("outcrop_team_info", described, ("team", "name"), self._info))

    def ids(self) -> list[str]:
        """Return the teams that have a label."""
        return [*self._labels]

    def note_posted(
        self, team: str, outcome: str, tokens: Mapping[str, int], cost_nano: int, attempts: int = 1
    ) -> None:
        """Count attempts that were settled, with their tokens by kind and their cost."""
        label = self._label(team)
        self._attempts.values[label, outcome] += attempts
        for kind, count in tokens.items():
            if count:
                self._tokens.values[label, kind] += count
        if cost_nano:
            self._cost.values[(label,)] += cost_nano / 1e9

    def note_refused(self, team: str, kind: str) -> None:
        """Count a call that was refused."""
        self._refused.values[self._label(team), kind] += 1

    def _label(self, team: str) -> str:
        if not team:
            return _NONE
        found = self._labels.get(team)
        if found is None:
            if len(self._labels) >= self._most:
                return _OTHER
            found = self._labels[team] = team
        return found

    def _info(self) -> Mapping[tuple[str, ...], float]:
        return {(team, self.names[team]): 1.0 for team in self.ids() if team in self.names}
