"""The report: each section is kept as JSON under `results/`, and README.md is written from all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.plots import svg
from benchmarks.harness.section import Section, Table
from benchmarks.targets import COLUMNS, TARGETS

_INTRO = """\
# What it costs

Written by `make bench`, which measures everything below on one machine: its own Postgres (`initdb`'s stock
settings, `fsync` on), real server processes, real HTTP over 127.0.0.1 from a load generator in a process of
its own. `make bench ARGS="--only calls,recovery --quick"` measures a part, roughly; `--list` names the parts.

Contenders take turns (A B C, A B C, …) after a warm-up; figures are the median of the rounds with the least
and the most, and a ratio is the median of the rounds' ratios. **Read the ratios**: they carry over to other
machines, absolute figures don't. Load generator, server and database share this machine's cores.
"""


@dataclass(frozen=True)
class Origin:
    """When, on what and how a section was measured. One run of the harness has one `run`."""

    run: str
    revision: str
    measured: str
    took_s: float
    machine: dict[str, str]
    rounds: int
    seconds: float
    quick: bool


@dataclass(frozen=True)
class _Kept:
    section: Section
    origin: Origin


class Report:
    """Where results are kept and what is written from them."""

    def __init__(self, folder: Path, order: Iterable[str]) -> None:
        self._folder = folder
        self._results = folder / "results"
        self._order = list(order)

    def keep(self, section: Section, origin: Origin) -> None:
        """Store a section's figures and draw its charts."""
        self._results.mkdir(parents=True, exist_ok=True)
        document = {"origin": asdict(origin), "section": section.record()}
        path = self._results / f"{section.name}.json"
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        for chart in section.charts:
            (self._results / chart.file).write_text(svg(chart))

    def write(self) -> Path:
        """Write README.md from all that is kept; its path."""
        kept = [each for name in self._order if (each := self._read(name)) is not None]
        parts = [_INTRO, *_origin(kept), *_verdict(kept), *_shortly(kept)]
        for each in kept:
            parts += _section(each)
        if kept:
            parts += _machine(_latest(kept))
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "README.md"
        path.write_text("\n".join(parts).rstrip() + "\n")
        return path

    def _read(self, name: str) -> _Kept | None:
        path = self._results / f"{name}.json"
        if not path.exists():
            return None
        document: dict[str, Any] = json.loads(path.read_text())
        if "origin" not in document:  # of an earlier harness
            return None
        return _Kept(Section.from_record(document["section"]), Origin(**document["origin"]))


def _latest(kept: Sequence[_Kept]) -> Origin:
    return max((each.origin for each in kept), key=lambda origin: origin.run)


def _origin(kept: Sequence[_Kept]) -> list[str]:
    """Whether this is one run, said so that sections of several can't pass for one."""
    if not kept:
        return ["Nothing has been measured yet.\n"]
    runs = sorted({each.origin.run for each in kept})
    if len(runs) == 1:
        origin = kept[0].origin
        minutes = sum(each.origin.took_s for each in kept) / 60
        return [
            f"All of it was measured in one run that began {origin.run}, at {origin.revision}: {minutes:.0f} "
            "minutes.\n"
        ]
    return [
        f"**The sections come from {len(runs)} runs**; the line under each says which. The figures of the "
        f"verdict are from the latest, of {runs[-1]}, unless marked.\n"
    ]


def _verdict(kept: Sequence[_Kept]) -> list[str]:
    by_name = {each.section.name: each for each in kept}
    rows = []
    for target in TARGETS:
        found = by_name.get(target.section)
        row = target.row(found.section.figures if found else {})
        if found and row[3]:
            row[3] += _doubts(found.origin, _latest(kept))
        rows.append(row)
    return ["## Targets\n", *_table(Table("", COLUMNS, rows))]


def _doubts(origin: Origin, latest: Origin) -> str:
    doubts = [
        *(["a quick run, smaller in all"] if origin.quick else []),
        *(["an earlier run"] if origin.run != latest.run else []),
    ]
    return f" ({', '.join(doubts)})" if doubts else ""


def _shortly(kept: Sequence[_Kept]) -> list[str]:
    lines = [
        f"- **{each.section.title}.** {' '.join(each.section.ratios)}" for each in kept if each.section.ratios
    ]
    return ["## In short\n", *lines, ""]


def _section(kept: _Kept) -> list[str]:
    section, origin = kept.section, kept.origin
    parts = [f"## {section.title}\n", section.about, ""]
    parts += [f"- {each}" for each in section.ratios] + [""]
    for chart in section.charts:
        parts += [f"![{chart.title}](results/{chart.file})", ""]
    for table in section.tables:
        parts += _table(table)
    quick = " A quick run: rough figures." if origin.quick else ""
    parts.append(
        f"<sub>Measured {origin.measured} in {origin.took_s:.0f} s (run of {origin.run}), at "
        f"{origin.revision}; up to {origin.rounds} rounds, {origin.seconds:g} s a measurement; raw figures "
        f"in [results/{section.name}.json](results/{section.name}.json).{quick}</sub>\n"
    )
    return parts


def _table(table: Table) -> list[str]:
    lines = [f"{table.title}:", ""] if table.title else []
    lines += [f"| {' | '.join(table.columns)} |", f"|{'---|' * len(table.columns)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in table.rows), ""]


def _machine(origin: Origin) -> list[str]:
    return [
        "## Measured on\n",
        "| | |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in origin.machine.items()),
        "",
    ]
