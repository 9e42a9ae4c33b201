"""How `outlast db status` and `outlast db prune --dry-run` show what they found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from outlast.cli.screen import Column, print_table

if TYPE_CHECKING:
    from outlast.store.upkeep import Upkeep

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def upkeep_row(found: Upkeep) -> dict[str, Any]:
    """For programs."""
    oldest = dict(found.oldest)
    return {
        "workflows": oldest.pop("estimate"),
        "counts": found.counts,
        "oldest": oldest,
        "tables": found.tables,
    }


def print_upkeep(found: Upkeep) -> None:
    """For people: tables, then what waits and what is oldest."""
    click.echo()
    tables = [
        Column("TABLE", "name"),
        Column("SIZE", "bytes", lambda row: size_text(row["bytes"])),
        Column("INDEXES", "index_bytes", lambda row: size_text(row["index_bytes"])),
        Column("ROWS", "rows"),
        Column("DEAD", "dead"),
        Column("VACUUMED", "vacuumed_at", lambda row: str(row["vacuumed_at"] or "")[:19]),
    ]
    print_table(tables, found.tables, "no tables")
    click.echo()
    print_table(
        [Column("STATUS", "status"), Column("WORKFLOWS", "count", _count_text)],
        found.counts,
        "nothing is live",
    )
    click.echo(f"about {found.oldest['estimate']} workflows in all")
    for key, text in (
        ("ended_at", "the oldest that has ended did so at"),
        ("due_at", "the oldest that waits to be claimed is due since"),
        ("undelivered_at", "the oldest message that is not delivered was sent at"),
    ):
        if found.oldest[key] is not None:
            click.echo(f"{text} {found.oldest[key][:19]}")


def print_prunable(rows: Sequence[dict[str, Any]]) -> None:
    """What would be removed."""
    columns = [
        Column("FUNCTION", "function"),
        Column("WORKFLOWS", "workflows"),
        Column("ENDED FROM", "oldest", lambda row: row["oldest"][:19]),
        Column("TO", "newest", lambda row: row["newest"][:19]),
    ]
    print_table(columns, list(rows), "nothing was kept for long enough")


def size_text(size: int) -> str:
    """Bytes for people."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _count_text(row: dict[str, Any]) -> str:
    return f"{row['count']}{'+' if row['more'] else ''}"
