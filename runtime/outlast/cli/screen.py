"""What commands print: aligned tables and colours for a terminal, tabs or JSON for programs.

Text from elsewhere (ids, outputs, messages) is shown with its control characters escaped: it must not be able
to move the cursor of whoever looks at it.
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

_MESSAGE_CHARS_MAX = 2_000
_GAP = "  "
_NARROWEST = 8
_COLOURS = {
    "SUCCESS": "green",
    "ERROR": "red",
    "EXHAUSTED": "red",
    "CANCELLED": "yellow",
    "PENDING": "cyan",
    "ENQUEUED": "blue",
    "error": "red",
    "warning": "yellow",
    "broken": "red",
    "ok": "green",
    "served": "green",
}
"""By the first word of a cell."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, what people read and what programs read of a row."""

    title: str
    human: Callable[[Any], str]
    plain: Callable[[Any], Any]


def is_terminal() -> bool:
    """Whether people read standard output."""
    return sys.stdout.isatty()


def say(kind: str, text: str) -> None:
    """A line of its own on standard error: `error: …`, `warning: …`."""
    click.echo(f"{_coloured(kind, kind, sys.stderr.isatty())}: {text}", err=True)


def print_json(document: Any) -> None:
    """JSON: indented for people, one line for programs."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2 if is_terminal() else None))


def print_table(columns: Sequence[Column], rows: Sequence[Any], empty: str) -> None:
    """For a terminal: titles, aligned, cut to its width. Elsewhere: tabs, whole, without titles.

    `empty` is what a terminal shows where there are no rows.
    """
    if not is_terminal():
        for row in rows:
            click.echo("\t".join(plain_text(column.plain(row)) for column in columns))
        return
    if not rows:
        click.echo(empty)
        return
    cells = [[escaped(column.human(row)) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    natural = [max(map(width_of, each)) for each in zip(titles, *cells, strict=True)]
    widths = fitted(natural, shutil.get_terminal_size().columns - len(_GAP) * (len(columns) - 1))
    click.echo(click.style(_line(titles, widths), bold=True) if _colours(True) else _line(titles, widths))
    for row_cells in cells:
        click.echo(_line(row_cells, widths, coloured=True))


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line, for people."""
    width = max(width_of(name) for name, _ in pairs)
    for name, value in pairs:
        first_word = value.split(" ", 1)[0]
        click.echo(f"{padded(name, width)}{_GAP}{_coloured(first_word, escaped(value), is_terminal())}")


def fitted(natural: Sequence[int], room: int) -> list[int]:
    """Widths that fit into `room`: the widest columns give way first, down to a readable rest."""
    widths = list(natural)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widest = widths.index(max(widths))
        rest = max((each for each in widths if each < widths[widest]), default=_NARROWEST)
        widths[widest] -= max(1, min(sum(widths) - room, widths[widest] - max(rest, _NARROWEST)))
    return widths


def _line(cells: Sequence[str], widths: Sequence[int], *, coloured: bool = False) -> str:
    shown = []
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = cut(cell, width)
        text = padded(text, width) if any(cells[number + 1 :]) else text
        shown.append(_coloured(cell.split(" ", 1)[0].rstrip(":"), text, True) if coloured else text)
    return _GAP.join(shown).rstrip()


def width_of(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in text
    )


def cut(text: str, width: int) -> str:
    """`text` within `width` columns, `…` for what is left out."""
    if width_of(text) <= width:
        return text
    kept = ""
    for each in text:
        if width_of(kept + each) > width - 1:
            break
        kept += each
    return f"{kept}…"


def padded(text: str, width: int) -> str:
    """`text` and blanks up to `width` columns."""
    return text + " " * (width - width_of(text))


def escaped(text: str) -> str:
    """`text` with control characters written out, as in `\\x1b`; a line stays one line."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def one_line(text: str) -> str:
    """A message as one line that can do no harm, of bounded length."""
    line = escaped(" ".join(text.split()))
    return line if len(line) <= _MESSAGE_CHARS_MAX else f"{line[: _MESSAGE_CHARS_MAX - 1]}…"


def plain_text(value: Any) -> str:
    """A value between tabs: text with control characters escaped, nothing as nothing, the rest as JSON."""
    if value is None:
        return ""
    return escaped(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def compact(value: Any) -> str:
    """JSON on one line, for people."""
    return json.dumps(value, ensure_ascii=False)


def _colours(terminal: bool) -> bool:
    """Colours are for terminals that have them, and for who wants them (no-color.org)."""
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _coloured(word: str, text: str, terminal: bool) -> str:
    colour = _COLOURS.get(word)
    return click.style(text, fg=colour) if colour is not None and _colours(terminal) else text
