"""The page of the latest figures, with a chart."""

from pathlib import Path
from typing import Any

_WIDTH, _BAR, _LEFT, _RIGHT = 760, 26, 330, 90
_COLOURS = {"holds": "#2b8a3e", "misses": "#c92a2a", "": "#1c7ed6"}


def write_page(folder: Path, result: dict[str, Any]) -> None:
    """Write `README.md` and the charts of a result into a folder."""
    bounded = [row for row in result["rows"] if row["must"]]
    bars = [(row["name"], _share(row), f"{_number(row['value'])} {row['unit']}", row["verdict"]) for row in bounded]
    (folder / "figures.svg").write_text(_chart("Measured, as a share of what it may be at most", bars, 1.0))
    lines = [
        "# Benchmarks",
        "",
        f"Measured on {result['date']}: {result['machine']}. One process of Outcrop on one core, with everything on (keys, limits,",
        "metrics, the log of requests, retries, deadlines, cancellation); the upstream and the callers on another. CPU is the",
        "process's own accounting, of the best of several runs. `python -m benchmarks` measures it again; `--peers` beside the peers.",
        "",
        "![figures](figures.svg)",
        "",
        "| figure | measured | must | aim | |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['name']} | {_number(row['value'])} {row['unit']} | {_bound(row, 'must')} | {_bound(row, 'aim')} | {row['verdict']} |"
        )
    lines += _profile(result["stages"])
    if result["peers"]:
        ours = result["peers"][0]["cpu_us"]
        peers = [(each["name"], each["cpu_us"], f"{each['cpu_us']:,.0f} us", "") for each in result["peers"]]
        (folder / "peers.svg").write_text(_chart("CPU a chat request, 1.6 KB, not streamed", peers, 0.0))
        lines += [
            "",
            "## Beside the peers",
            "",
            "In the same run, before the same upstream, on the same core.",
            "",
            "![peers](peers.svg)",
            "",
            "| | version | CPU a request | of Outcrop's | CPU a streamed chunk | p50, one caller | at rest | start to first 200 |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for each in result["peers"]:
            lines.append(
                f"| {each['name']} | {each['version']} | {each['cpu_us']:,.0f} us | {each['cpu_us'] / ours:.2g} | "
                f"{each['chunk_us']:,.0f} us | {each['p50_ms']:.2f} ms | {each['memory']:.0f} MiB | {each['seconds_to_200']:.1f} s |"
            )
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    (folder / "README.md").write_text("\n".join([*lines, "", f"With {versions}.", ""]))


def _profile(stages: dict[str, dict[str, float]]) -> list[str]:
    """Where the CPU goes, as a table."""
    names = sorted(
        {name for parts in stages.values() for name in parts}, key=lambda name: -stages["a chat request"].get(name, 0)
    )
    return [
        "",
        "## Where the CPU goes",
        "",
        "By a timer of CPU time that interrupts the process, in microseconds. What the kernel does for a socket is on the",
        "account of whoever writes to it, or is given what it read.",
        "",
        f"| stage | {' | '.join(stages)} |",
        f"|---|{'---|' * len(stages)}",
        *(f"| {name} | {' | '.join(_number(parts.get(name, 0.0)) for parts in stages.values())} |" for name in names),
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _share(row: dict[str, Any]) -> float:
    return float(row["must"] / row["value"] if row["is_rate"] else row["value"] / row["must"])


def _bound(row: dict[str, Any], name: str) -> str:
    return "" if row[name] is None else f"{'>=' if row['is_rate'] else '<='} {row[name]:g}"


def _chart(title: str, bars: list[tuple[str, float, str, str]], mark: float) -> str:
    """A chart of horizontal bars; a line at `mark`, if that is not 0."""
    most = max([mark * 1.2, *(value for _, value, _, _ in bars)])
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    height = 50 + _BAR * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/><text x="12" y="22" font-size="14">{title}</text>',
    ]
    for place, (name, value, text, verdict) in enumerate(bars):
        top = 36 + place * _BAR
        width = max(value * scale, 1)
        parts.append(f'<text x="{_LEFT - 8}" y="{top + 14}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="18" fill="{_COLOURS[verdict]}"/>')
        parts.append(f'<text x="{_LEFT + width + 6:.1f}" y="{top + 14}">{text}</text>')
    if mark:
        x = _LEFT + mark * scale
        parts.append(
            f'<line x1="{x:.1f}" y1="30" x2="{x:.1f}" y2="{height - 10}" stroke="#343a40" stroke-dasharray="4"/>'
        )
    return "\n".join([*parts, "</svg>", ""])
