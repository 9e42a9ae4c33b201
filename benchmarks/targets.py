"""What is wanted, row by row; the report compares it with what the run has measured."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.rounds import Spread


@dataclass(frozen=True)
class Target:
    """A limit for one figure of one section. `moonshot` is what would be splendid."""

    what: str
    section: str
    figure: str
    limit: float
    moonshot: float | None = None
    at_most: bool = False
    unit: str = "×"

    def row(self, figures: dict[str, dict[str, float]]) -> list[str]:
        """A row of the verdict. `figures` are the section's; empty if it was not measured."""
        record = figures.get(self.figure)
        measured = Spread.from_record(record) if record else None
        return [
            self.what,
            self._limit(self.limit),
            self._limit(self.moonshot) if self.moonshot is not None else "",
            f"{_spread(measured)} {self.unit}" if measured else "",
            self._verdict(measured.median) if measured else "not measured",
        ]

    def _limit(self, limit: float) -> str:
        return f"{'≤' if self.at_most else '≥'} {_plain(limit)} {self.unit}"

    def _verdict(self, value: float) -> str:
        if self.moonshot is not None and self._holds(value, self.moonshot):
            return "met, moonshot too"
        return "met" if self._holds(value, self.limit) else "**not met**"

    def _holds(self, value: float, limit: float) -> bool:
        return value <= limit if self.at_most else value >= limit


COLUMNS = ["", "target", "moonshot", "measured: median (least–most)", ""]

TARGETS = (
    Target("one-step calls/s at 64 connections, of DBOS's", "calls", "one_step_to_dbos", 12, 25),
    Target(
        "one-step calls/s at 64 connections, of a plain Starlette endpoint's",
        "calls",
        "one_step_to_plain",
        0.2,
        0.4,
    ),
    Target("ten-step calls, steps/s at 64 connections, of DBOS's", "calls", "ten_steps_to_dbos", 15, 30),
    Target(
        "one-step latency of one client, of DBOS's",
        "calls",
        "one_step_latency_to_dbos",
        1 / 5,
        1 / 7,
        at_most=True,
    ),
    Target(
        "one-step latency of one client, of Restate's",
        "calls",
        "one_step_latency_to_restate",
        1 / 5,
        1 / 7,
        at_most=True,
    ),
    Target(
        "ten-step latency of one client, of DBOS's",
        "calls",
        "ten_steps_latency_to_dbos",
        1 / 7,
        1 / 10,
        at_most=True,
    ),
    Target(
        "ten-step latency of one client, of Restate's",
        "calls",
        "ten_steps_latency_to_restate",
        1 / 3,
        1 / 10,
        at_most=True,
    ),
    Target(
        "99th percentile of one-step calls at 64 connections, of their median",
        "calls",
        "tail",
        5,
        3,
        at_most=True,
    ),
    Target(
        "engine alone, recorded steps/s, of psycopg's `executemany` of the same rows",
        "engine_alone",
        "to_executemany",
        0.2,
        0.4,
    ),
    Target(
        "engine alone, recorded steps/s, of one JSON document for each batch",
        "engine_alone",
        "to_json",
        0.2,
        0.4,
    ),
    Target("recovery after `kill -9`, workflows/s, of DBOS's", "recovery", "to_dbos", 15, 30),
    Target(
        "1,000,000 suspended workflows, memory above idle",
        "sleepers",
        "memory_mib",
        50,
        at_most=True,
        unit="MiB",
    ),
    Target("suspended workflows that are due, claimed", "sleepers", "claimed_per_s", 5_000, unit="/s"),
    Target(
        "cold start, to the first durable answer", "cold_start", "first_answer_s", 0.5, at_most=True, unit="s"
    ),
    Target("idle memory", "cold_start", "idle_mib", 80, at_most=True, unit="MiB"),
    Target("calls/s beside 10,000,000 ended workflows, of those beside none", "growth", "kept", 0.9),
)


def _plain(limit: float) -> str:
    return f"{limit:,.0f}" if limit >= 1 else f"{limit:.3g}"


def _spread(measured: Spread) -> str:
    return measured.text(3 if abs(measured.median) < 1 else None)
