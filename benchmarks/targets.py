"""What is wanted, row by row; the report compares it with what the run has measured."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.rounds import Spread


@dataclass(frozen=True)
class Target:
    """At least so much of one figure of one section. `moonshot` is what would be splendid."""

    what: str
    section: str
    figure: str
    limit: float
    moonshot: float | None = None
    unit: str = "×"
    sign = "≥"

    def row(self, figures: dict[str, dict[str, float]]) -> list[str]:
        """A row of the verdict. `figures` are the section's; empty if it was not measured."""
        words = [self.what, self._limit(self.limit), self._limit(self.moonshot)]
        if self.figure not in figures:
            return [*words, "", "not measured"]
        measured = Spread.from_record(figures[self.figure])
        return [*words, self._measured(measured), self._verdict(measured.median)]

    def holds(self, value: float, limit: float) -> bool:
        """Whether the limit is kept."""
        return value >= limit

    def _verdict(self, value: float) -> str:
        if self.moonshot is not None and self.holds(value, self.moonshot):
            return "met, and the moonshot"
        return "met" if self.holds(value, self.limit) else "**not met**"

    def _limit(self, limit: float | None) -> str:
        if limit is None:
            return ""
        return f"{self.sign} {f'{limit:,.0f}' if limit >= 1 else f'{limit:.3g}'}{self.unit}"

    def _measured(self, measured: Spread) -> str:
        digits = 3 if abs(measured.median) < 1 else None
        middle, _, limits = measured.text(digits).partition(" ")
        return f"{middle}{self.unit} {limits}".strip()


class AtMost(Target):
    """At most so much."""

    sign = "≤"

    def holds(self, value: float, limit: float) -> bool:
        """Whether the limit is kept."""
        return value <= limit


COLUMNS = ["", "target", "moonshot", "measured: median (least–most)", ""]

TARGETS = (
    Target("one-step calls/s at 64 connections, to DBOS's", "calls", "one_step_to_dbos", 12, 25),
    Target("the same, to a plain Starlette endpoint's", "calls", "one_step_to_plain", 0.2, 0.4),
    Target("ten-step calls' steps/s at 64 connections, to DBOS's", "calls", "ten_steps_to_dbos", 15, 30),
    AtMost("one-step latency of one client, to DBOS's", "calls", "one_step_latency_to_dbos", 1 / 5, 1 / 7),
    AtMost("the same, to Restate's", "calls", "one_step_latency_to_restate", 1 / 5, 1 / 7),
    AtMost("ten-step latency of one client, to DBOS's", "calls", "ten_steps_latency_to_dbos", 1 / 7, 1 / 10),
    AtMost("the same, to Restate's", "calls", "ten_steps_latency_to_restate", 1 / 3, 1 / 10),
    AtMost("p99 of one-step calls at 64 connections, to their p50", "calls", "tail", 5, 3),
    Target(
        "engine alone: recorded steps/s, to rows/s of psycopg's `executemany`",
        "engine_alone",
        "to_executemany",
        0.2,
        0.4,
    ),
    Target("the same, to rows/s of one JSON document a batch", "engine_alone", "to_json", 0.2, 0.4),
    Target("recovery after `kill -9`: workflows/s, to DBOS's", "recovery", "to_dbos", 15, 30),
    Target("a gather of 10,000 steps", "large_workflows", "gathered_per_s", 20_000, unit=" steps/s"),
    AtMost("the same, a step's processor time to that in a gather of 100", "large_workflows", "linear", 1.2),
    Target(
        "a replay of 100,000 recorded steps", "large_workflows", "replayed_per_s", 50_000, unit=" steps/s"
    ),
    AtMost("the slowest call meanwhile", "large_workflows", "slowest_call_ms", 50, unit=" ms"),
    AtMost("1,000,000 suspended workflows: memory above idle", "sleepers", "memory_mib", 50, unit=" MiB"),
    Target("claiming suspended workflows that are due", "sleepers", "claimed_per_s", 5_000, unit="/s"),
    AtMost("cold start, to the first durable answer", "cold_start", "first_answer_s", 0.5, unit=" s"),
    AtMost("idle memory", "cold_start", "idle_mib", 80, unit=" MiB"),
    Target("calls/s with a user's token, to those where nobody is asked", "auth", "by_token", 0.9),
    Target("calls/s with metrics, to those without", "metrics", "rate", 0.98),
    Target("calls/s beside 10,000,000 ended workflows, to those beside none", "growth", "kept", 0.9),
    Target("the same, with random keys (UUIDv4)", "growth", "kept_random", 0.9),
    Target("64 connections that start by SQL: of their rate untold", "waking", "rate_kept", 0.9),
    AtMost("from SQL to running, p50", "waking", "sessions_p50_ms", 50, unit=" ms"),
    Target("a schedule each second on four instances: each second one workflow", "schedules", "exact", 1),
    AtMost("from the time of a tick to its commit, p99", "schedules", "lag_p99_ms", 1000, unit=" ms"),
    Target(
        "children a second to the parent's result, 10,000 on one instance",
        "children",
        "per_s_many",
        5_000,
        unit="/s",
    ),
    Target("the same beside DBOS", "children", "times_dbos_many", 20),
    AtMost(
        "from a child's end to its parent's going on, one instance", "children", "lag_1_ms", 10, unit=" ms"
    ),
    AtMost("the same over two", "children", "lag_2_ms", 50, unit=" ms"),
    AtMost("test kit: 50 steps, killed at each of their points", "testing_kit", "crashes_s", 1.0, unit=" s"),
    AtMost("test kit: a test that sleeps 14 days", "testing_kit", "sleep_ms", 10, unit=" ms"),
    AtMost("test kit: its import", "testing_kit", "import_s", 0.3, unit=" s"),
)
