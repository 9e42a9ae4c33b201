"""What a workload hands to the report: plain data, kept as JSON, rendered from there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Table:
    """A table of texts."""

    title: str
    columns: list[str]
    rows: list[list[str]]


@dataclass
class Chart:
    """Horizontal bars: in each group one for each series that has a value.

    `groups_scaled`: each group has a scale of its own, for groups that are not compared with each other.
    """

    file: str
    title: str
    unit: str
    groups: list[str]
    series: dict[str, list[float | None]]
    groups_scaled: bool = False


@dataclass
class Section:
    """The result of one workload. `ratios` come first in the report: they carry over to other machines."""

    name: str
    title: str
    about: str
    ratios: list[str] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    """What the targets are compared with, by name: records of `rounds.Spread`."""
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Section:
        """The inverse of `record`."""
        return cls(
            **{
                **record,
                "tables": [Table(**each) for each in record["tables"]],
                "charts": [Chart(**each) for each in record["charts"]],
            }
        )
