"""The results of a check, as lines for people or as one JSON document."""

from typing import Literal, TextIO

from msgspec import Struct, field

from app.wire import json

Status = Literal["ok", "failed", "skipped"]
_WORDS: dict[Status, str] = {"ok": "ok  ", "failed": "FAIL", "skipped": "skip"}


class Result(Struct, frozen=True, kw_only=True):
    """The outcome of one step.

    entry: where the configuration names what was tried. notes: faults or warnings, one a line.
    """

    step: str
    status: Status
    ms: float = 0.0
    message: str = ""
    remedy: str = ""
    entry: str = ""
    notes: list[str] = field(default_factory=list)


class Report:
    """Writes each result when it is known, or all of them at the end, as JSON."""

    def __init__(self, out: TextIO, *, is_json: bool) -> None:
        self._out = out
        self._is_json = is_json
        self._results: list[Result] = []

    @property
    def has_failures(self) -> bool:
        """Whether a step failed."""
        return any(result.status == "failed" for result in self._results)

    def add(self, result: Result) -> None:
        """Add the result of the next step."""
        self._results.append(result)
        if not self._is_json:
            self._out.write(_lines(result))
            self._out.flush()

    def end(self) -> int:
        """Complete the report; returns the exit code."""
        if self._is_json:
            document = {"ok": not self.has_failures, "steps": self._results}
            self._out.write(json.dumps(document).decode() + "\n")
        return 1 if self.has_failures else 0


def _lines(result: Result) -> str:
    time = f"{result.ms:7.0f} ms" if result.status != "skipped" else " " * 10
    lines = [f"{_WORDS[result.status]}  {result.step:<24} {time}  {result.message}", *result.notes]
    if result.status != "ok" and result.entry:
        lines.append(result.entry)
    if result.remedy:
        lines.append(f"remedy: {result.remedy}")
    return "\n      ".join(lines).rstrip() + "\n"
