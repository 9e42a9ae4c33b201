"""Bar charts as small hand-made SVG files; they follow the reader's light or dark scheme."""

from __future__ import annotations

from html import escape

from benchmarks.harness.rounds import number
from benchmarks.harness.section import Chart

# One colour for each, whatever the chart, which both schemes show clearly; others take what is left.
_COLOURS = {
    "Outlast": "#2da06f",
    "Outlast, 2 workers": "#85c9a8",
    "Plain Starlette": "#8b949e",
    "pgbench": "#a8927a",
    "DBOS, its fastest way": "#d9822b",
    "Restate": "#6c80d9",
}
_LEFT = ("#2da06f", "#d9822b", "#6c80d9", "#8b949e")
_WIDTH, _VALUE, _BAR, _SPACE, _GAP = 720, 70, 15, 2, 14
_CHARACTER = 6.8
"""The usual width of one in pixels; texts are placed by it with some room to spare."""
_STYLE = """
text { font: 12px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px }
.muted { fill: #59636e }
.axis { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .muted { fill: #9198a1 } .axis { stroke: #3d444d }
}
"""


def svg(chart: Chart) -> str:
    """The chart as an SVG document."""
    unit = f"{chart.unit}; each group has its own scale" if chart.groups_scaled else chart.unit
    parts = [_text(0, 16, chart.title, kind="title"), _text(_WIDTH, 16, unit, kind="muted", anchor="end")]
    legend, y = _legend(list(chart.series)) if len(chart.series) > 1 else ([], 30.0)
    parts += legend
    left = 16 + _CHARACTER * max(len(group) for group in chart.groups)
    top = y
    for group, label in enumerate(chart.groups):
        bars = [(name, series[group]) for name, series in chart.series.items() if series[group] is not None]
        most = max(value for _, value in (bars if chart.groups_scaled else _all(chart)) if value is not None)
        parts.append(_text(left - 10, y + len(bars) * (_BAR + _SPACE) / 2 + 4, label, anchor="end"))
        for name, value in bars:
            if value is not None:
                parts += _bar(left, y, value, value / most if most > 0 else 0.0, _colour(chart, name))
                y += _BAR + _SPACE
        y += _GAP
    parts.append(
        f'<line class="axis" x1="{left:.0f}" x2="{left:.0f}" y1="{top - 4:.0f}" y2="{y - _GAP + 2:.0f}"/>'
    )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y:.0f}" width="{_WIDTH}" role="img" '
        f'aria-label="{escape(chart.title)}">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _all(chart: Chart) -> list[tuple[str, float | None]]:
    return [(name, value) for name, series in chart.series.items() for value in series if value is not None]


def _legend(names: list[str]) -> tuple[list[str], float]:
    """Squares and names, in as many lines as they need; and where the bars may begin."""
    parts, x, y = [], 0.0, 30
    for name in names:
        wide = 34 + _CHARACTER * len(name)
        if x + wide > _WIDTH and x > 0:
            x, y = 0.0, y + 20
        colour = _COLOURS.get(name) or _LEFT[names.index(name) % len(_LEFT)]
        parts.append(f'<rect x="{x:.0f}" y="{y}" width="10" height="10" rx="2" fill="{colour}"/>')
        parts.append(_text(x + 15, y + 9, name))
        x += wide
    return parts, y + 28.0


def _bar(left: float, y: float, value: float, share: float, colour: str) -> list[str]:
    width = max(1.0, (_WIDTH - left - _VALUE) * share)
    return [
        f'<rect x="{left:.0f}" y="{y:.0f}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>',
        _text(left + width + 6, y + 12, number(value), kind="muted"),
    ]


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "") -> str:
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.0f}" y="{y:.0f}"{attributes}>{escape(text)}</text>'


def _colour(chart: Chart, name: str) -> str:
    return _COLOURS.get(name) or _LEFT[list(chart.series).index(name) % len(_LEFT)]
