"""The report: each section is kept as JSON under `results/`, and README.md is written from all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.harness.plots import svg
from benchmarks.harness.section import Section, Table

_INTRO = """\
# What it costs

Written by `make bench`, which measures everything below on one machine: its own Postgres (the embedded one,
`fsync` on), real server processes, real HTTP over 127.0.0.1 from a load generator in a process of its own.
`make bench ARGS="--only throughput,memory --quick"` measures a part, roughly; `--list` names the parts.

Contenders take turns (A B, A B, …) after a warm-up, and figures are the median of the rounds with the least
and the most. **Read the ratios first**: they carry over to other machines, absolute figures don't. Load
generator, server and database share this machine's cores.
"""


class Report:
    """Where results are kept and what is written from them."""

    def __init__(self, folder: Path, order: Iterable[str]) -> None:
        self._folder = folder
        self._results = folder / "results"
        self._order = list(order)

    def keep(self, section: Section, machine: dict[str, str], conditions: dict[str, Any]) -> None:
        """Store a section's figures and draw its charts."""
        self._results.mkdir(exist_ok=True)
        document = {"machine": machine, "conditions": conditions, "section": section.record()}
        path = self._results / f"{section.name}.json"
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        for chart in section.charts:
            (self._results / chart.file).write_text(svg(chart))

    def write(self) -> Path:
        """Write README.md from all that is kept; its path."""
        documents = [
            json.loads(path.read_text())
            for name in self._order
            if (path := self._results / f"{name}.json").exists()
        ]
        sections = [Section.from_record(document["section"]) for document in documents]
        parts = [_INTRO, "## In short\n", *_shortly(sections)]
        for section, document in zip(sections, documents, strict=True):
            parts += _section(section, document["conditions"])
        if documents:
            parts += _machine(documents[0]["machine"])
        path = self._folder / "README.md"
        path.write_text("\n".join(parts).rstrip() + "\n")
        return path


def _shortly(sections: list[Section]) -> list[str]:
    lines = [f"- **{section.title}.** {' '.join(section.ratios)}" for section in sections if section.ratios]
    return [*lines, ""]


def _section(section: Section, conditions: dict[str, Any]) -> list[str]:
    parts = [f"## {section.title}\n", section.about, ""]
    parts += [f"- {each}" for each in section.ratios] + [""]
    for chart in section.charts:
        parts += [f"![{chart.title}](results/{chart.file})", ""]
    for table in section.tables:
        parts += _table(table)
    quick = " A quick run: rough figures." if conditions["quick"] else ""
    parts.append(
        f"<sub>{conditions['rounds']} rounds of {conditions['seconds']:g} s; raw figures in "
        f"[results/{section.name}.json](results/{section.name}.json).{quick}</sub>\n"
    )
    return parts


def _table(table: Table) -> list[str]:
    lines = [f"{table.title}:", "", f"| {' | '.join(table.columns)} |", f"|{'---|' * len(table.columns)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in table.rows), ""]


def _machine(machine: dict[str, str]) -> list[str]:
    return [
        "## Measured on\n",
        "| | |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in machine.items()),
        "",
    ]
