"""What commands print: aligned tables and colours for a terminal, tabs or JSON for programs.

Text from elsewhere (ids, outputs, messages) is shown with escaped control characters, so that it can't move
the reader's cursor.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from outlast.core.printable import escape, escape_json

_MESSAGE_CHARS_MAX = 2_000
_GAP = "  "
_NARROWEST = 8
_CELL_CHARS_MAX = 1_000
_COLOURS = {
    "SLEEPING": "cyan",
    "SUCCESS": "green",
    "ERROR": "red",
    "EXHAUSTED": "red",
    "CANCELLED": "yellow",
    "PENDING": "cyan",
    "RUNNING": "cyan",
    "ENQUEUED": "blue",
    "error": "red",
    "warning": "yellow",
    "broken": "red",
    "served": "green",
    "applied": "green",
    "pending": "yellow",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and what programs (`value`) and people (`human`) see of a row."""

    title: str
    value: str | Callable[[Any], Any]
    """A key of the row, or a function of the row."""
    human: Callable[[Any], str] | None = None
    """None: the value as text."""
    coloured: bool = False
    """Whether the first word of a cell decides its colour."""
    optional: bool = False
    """Whether it is left out if no row has a value."""

    def plain(self, row: Any) -> Any:
        """The cell for programs."""
        return row.get(self.value) if isinstance(self.value, str) else self.value(row)

    def shown(self, row: Any) -> str:
        """The cell for people."""
        if self.human is not None:
            return self.human(row)
        value = self.plain(row)
        return "" if value is None else str(value)


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def say(kind: str, text: str) -> None:
    """Print a line on standard error: `error: …`, `warning: …`."""
    click.echo(f"{_coloured(kind, kind, sys.stderr.isatty())}: {escape(text)}", err=True)


def print_json(document: Any) -> None:
    """Print JSON: indented for people, one line for programs."""
    click.echo(readable_json(document) if is_terminal() else compact(document))


def tell(document: Any, *lines: str, as_json: bool) -> None:
    """Print a document for programs, or these lines for people."""
    if as_json:
        print_json(document)
        return
    for line in lines:
        click.echo(line)


def readable_json(document: Any) -> str:
    """JSON over several lines, for people."""
    return escape_json(json.dumps(document, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[Column], rows: Sequence[Any], empty: str) -> None:
    """Print for a terminal: titles, aligned, cut to its width. Otherwise: tabs, uncut, without titles.

    `empty` is shown on a terminal if there are no rows.
    """
    columns = [each for each in columns if not each.optional or any(map(each.plain, rows))]
    if not is_terminal():
        for row in rows:
            click.echo("\t".join(plain_text(column.plain(row)) for column in columns))
        return
    if not rows:
        click.echo(escape(empty))
        return
    cells = [[escape(column.shown(row)[:_CELL_CHARS_MAX]) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    natural = [max(map(width_of, each)) for each in zip(titles, *cells, strict=True)]
    widths = fitted(natural, shutil.get_terminal_size().columns - len(_GAP) * (len(columns) - 1))
    coloured = [column.coloured for column in columns]
    heading = _line(titles, widths, [False] * len(columns))
    click.echo(click.style(heading, bold=True) if _colours(True) else heading)
    for each in cells:
        click.echo(_line(each, widths, coloured))


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line, for people.

    A value that begins with a status has its colour.
    """
    width = max(width_of(name) for name, _ in pairs)
    for name, value in pairs:
        shown = (
            _coloured(value.split(" ", 1)[0], escape(value), is_terminal())
            if name == "Status"
            else escape(value)
        )
        click.echo(f"{padded(name, width)}{_GAP}{shown}")


def fitted(natural: Sequence[int], room: int) -> list[int]:
    """Widths that fit into `room`: the widest columns shrink first, down to a readable rest."""
    widths = list(natural)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int], coloured: Sequence[bool]) -> str:
    last = max((number for number, cell in enumerate(cells) if cell), default=0)
    shown = []
    for number, (cell, width) in enumerate(zip(cells[: last + 1], widths, strict=False)):
        text = cut(cell, width)
        text = text if number == last else padded(text, width)
        shown.append(_coloured(cell.split(" ", 1)[0], text, True) if coloured[number] else text)
    return _GAP.join(shown)


def width_of(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in text
    )


def cut(text: str, width: int) -> str:
    """`text` within `width` columns, with `…` for the rest."""
    if width_of(text) <= width:
        return text
    kept = text[: max(0, width - 1)]
    while kept and width_of(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"


def padded(text: str, width: int) -> str:
    """`text` padded with blanks to `width` columns."""
    return text + " " * (width - width_of(text))


def escaped_lines(text: str) -> str:
    """A text of several lines, each escaped."""
    return "\n".join(map(escape, text.split("\n")))


def one_line(text: str) -> str:
    """A message as one safe line of limited length."""
    line = escape(" ".join(text.split()))
    return line if len(line) <= _MESSAGE_CHARS_MAX else f"{line[: _MESSAGE_CHARS_MAX - 1]}…"


def plain_text(value: Any) -> str:
    """A value for a tab-separated line: text escaped, None as nothing, other values as JSON."""
    if value is None:
        return ""
    return escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def compact(value: Any) -> str:
    """JSON on one line."""
    return escape_json(json.dumps(value, ensure_ascii=False))


def _colours(terminal: bool) -> bool:
    """Whether to use colours: if the terminal has them, unless NO_COLOR is set (no-color.org)."""
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _coloured(word: str, text: str, terminal: bool) -> str:
    colour = _COLOURS.get(word)
    return click.style(text, fg=colour) if colour is not None and _colours(terminal) else text
