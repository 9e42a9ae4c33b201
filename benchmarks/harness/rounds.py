"""Fair rounds: contenders take turns (A B C, A B C, …), so that a noisy machine is noisy for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, the least and the most."""

    median: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up."""
        return cls(median(values), min(values), max(values), len(values))

    def text(self, digits: int | None = None) -> str:
        """`median (least–most)`."""
        if self.rounds == 1:
            return number(self.median, digits)
        return f"{number(self.median, digits)} ({number(self.least, digits)}–{number(self.most, digits)})"

    def record(self) -> dict[str, float]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, float]) -> Spread:
        """The inverse of `record`."""
        return cls(record["median"], record["least"], record["most"], int(record["rounds"]))


def number(value: float, digits: int | None = None) -> str:
    """With as many digits as mean something."""
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def interleaved(names: Sequence[str], rounds: int, measure: Callable[[str], T]) -> dict[str, list[T]]:
    """`measure` each of `names` in turn, `rounds` times."""
    results: dict[str, list[T]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            results[name].append(measure(name))
    return results


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Spread]:
    """Of load results: throughput and quantiles, each as a spread over the rounds."""
    return {field: Spread.of([run[field] for run in runs]) for field in ("per_s", "p50_ms", "p99_ms")}


def cells(runs: Sequence[dict[str, Any]]) -> list[str]:
    """The same, as the cells of a table."""
    return [spread.text() for spread in summary(runs).values()]


def ratio(ours: dict[str, list[dict[str, Any]]], left: str, right: str, field: str = "per_s") -> Spread:
    """How often `right`'s figure goes into `left`'s, round by round: noise common to a pair cancels out."""
    return Spread.of([a[field] / b[field] for a, b in zip(ours[left], ours[right], strict=True)])


def tail(runs: Sequence[dict[str, Any]]) -> Spread:
    """How often the median latency goes into the 99th percentile, round by round."""
    return Spread.of([run["p99_ms"] / run["p50_ms"] for run in runs])
