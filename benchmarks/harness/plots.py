"""Bar charts as small hand-made SVG files; they follow the reader's light or dark scheme."""

from __future__ import annotations

import math
from html import escape

from benchmarks.harness.rounds import number
from benchmarks.harness.section import Chart

_COLOURS = ("#2f7d5b", "#8a94a6", "#c4873b", "#5b6fb0", "#a8516e", "#4b9aa8", "#7a6f4f")
_WIDTH, _LABEL, _VALUE, _BAR, _GAP, _TOP = 720, 90, 80, 16, 14, 62
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.muted { fill: #656d76 }
.axis { stroke: #d0d7de }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .muted { fill: #9198a1 } .axis { stroke: #3d444d }
}
"""


def svg(chart: Chart) -> str:
    """The chart as an SVG document."""
    values = [v for series in chart.series.values() for v in series if v is not None and v > 0]
    scale = _Scale(values, log=chart.log)
    parts = [f'<text class="title" x="0" y="16">{escape(chart.title)}</text>']
    suffix = f"{chart.unit}, logarithmic scale" if chart.log else chart.unit
    parts.append(f'<text class="muted" x="{_WIDTH}" y="16" text-anchor="end">{escape(suffix)}</text>')
    x = 0.0
    for index, name in enumerate(chart.series):
        parts.append(f'<rect x="{x:.0f}" y="30" width="10" height="10" rx="2" fill="{_colour(index)}"/>')
        parts.append(f'<text x="{x + 15:.0f}" y="39">{escape(name)}</text>')
        x += 30 + 6.6 * len(name)
    y = float(_TOP)
    for group, label in enumerate(chart.groups):
        top = y
        for index, series in enumerate(chart.series.values()):
            if (value := series[group]) is None:
                continue
            parts += _bar(scale, value, y, _colour(index))
            y += _BAR + 2
        parts.append(
            f'<text x="{_LABEL - 8}" y="{(top + y) / 2 + 3:.0f}" text-anchor="end">{escape(label)}</text>'
        )
        y += _GAP
    parts.append(f'<line class="axis" x1="{_LABEL}" x2="{_LABEL}" y1="{_TOP - 4}" y2="{y - _GAP + 2:.0f}"/>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y:.0f}" width="{_WIDTH}" role="img" '
        f'aria-label="{escape(chart.title)}">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


class _Scale:
    def __init__(self, values: list[float], *, log: bool) -> None:
        self._most = max(values, default=1.0)
        self._least = 10 ** math.floor(math.log10(min(values, default=1.0)) - 0.3) if log else 0.0
        self._log = log

    def width(self, value: float) -> float:
        """Of the bar for a value."""
        if value <= 0:
            return 0.0
        room = _WIDTH - _LABEL - _VALUE
        if self._log:
            return room * math.log(value / self._least) / math.log(self._most / self._least)
        return room * value / self._most


def _bar(scale: _Scale, value: float, y: float, colour: str) -> list[str]:
    width = max(1.0, scale.width(value))
    return [
        f'<rect x="{_LABEL}" y="{y:.0f}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>',
        f'<text class="muted" x="{_LABEL + width + 6:.1f}" y="{y + 12:.0f}">{number(value)}</text>',
    ]


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]
