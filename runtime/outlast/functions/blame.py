"""Why a file couldn't be imported, in one line: `functions/x.py:3: NameError: name 'y' is not defined`."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from pathlib import Path

from outlast.functions.folder import ROOT, printable, show_path

TEXT_CHARS_MAX = 500


def blame(error: BaseException, root: Path, entry: Path, known: Collection[str]) -> str:
    """The place nearest the fault that lies in the functions folder, and the error's first line.

    `known` are the folder's modules: an import that misses one by a little is told how to write it.
    """
    places = _places(error, root)
    what = _describe(error) + _advise(error, known)
    if not places:
        return f"{show_path(root, entry)}: {what}"
    path, line = places[-1]
    text = f"{show_path(root, path)}:{line}: {what}"
    own = [number for where, number in places if where == entry]
    return f"{text} (imported by {show_path(root, entry)}:{own[-1]})" if path != entry and own else text


def _places(error: BaseException, root: Path) -> list[tuple[Path, int]]:
    """Lines of the folder's files that led to the error, the last one nearest to it."""
    places = [
        (Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((Path(error.filename), error.lineno or 1))
    return [(path, line) for path, line in places if path.is_relative_to(root)]


def _describe(error: BaseException) -> str:
    kind = type(error).__name__
    if isinstance(error, SystemExit):
        return f"it ends the program while being imported (SystemExit: {error.code!r})"[:TEXT_CHARS_MAX]
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return kind
    lines = text.strip().splitlines()
    return printable(f"{kind}: {lines[0]}"[:TEXT_CHARS_MAX]) if lines else kind


def _advise(error: BaseException, known: Collection[str]) -> str:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    first = error.name.partition(".")[0]
    if f"{ROOT}._shared.{first}" in known:
        return f"; write `from _shared import {first}`"
    if f"{ROOT}.{first}" in known and not first.startswith("_"):
        return f"; write `from {ROOT} import {first}`"
    return ""
