"""What mends an error that a file raised while it was imported."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Collection, Iterable
from difflib import get_close_matches

from outlast.core.tracebacks import text_of
from outlast.functions.folder import ROOT
from outlast.sdk import public

# Newer versions of Python go on with a proposal of their own.
_OPTION = re.compile(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")
_NAME = re.compile(r"cannot import name '(\w+)' from 'outlast' ")
_CIRCLE = "from partially initialized module"
# Of the file itself: its code may raise errors of its own. Before Python 3.11.4 NUL was a ValueError.
_NO_UTF8 = re.compile(r"\(unicode error\) 'utf-8' codec can't decode|source code .*null bytes")


def remedy_of(error: BaseException, known: Collection[str]) -> str:
    """What to do about `error`; nothing if that isn't known. `known` are the folder's modules."""
    if isinstance(error, ModuleNotFoundError):
        return _of_module(error.name, known) if error.name else ""
    text = text_of(error)
    if isinstance(error, ImportError):
        if _CIRCLE in text:
            return f"put what both need into {ROOT}/_shared, or import it in the function that uses it"
        found = _NAME.match(text)
        return _did_you_mean(found[1], public.__all__) if found else ""
    if isinstance(error, KeyError):
        return _of_variable(error)
    if isinstance(error, TypeError):
        found = _OPTION.fullmatch(text)
        return _of_option(*found.groups()) if found else ""
    return "save it as UTF-8" if isinstance(error, SyntaxError | ValueError) and _NO_UTF8.match(text) else ""


def _of_module(name: str, known: Collection[str]) -> str:
    first = name.partition(".")[0]
    if f"{ROOT}._shared.{first}" in known:
        return f"write `from _shared import {first}`"
    if f"{ROOT}.{first}" in known and not first.startswith("_"):
        return f"write `from {ROOT} import {first}`"
    return "" if first in (ROOT, "_shared") else f"if it is a package's, install that into {sys.prefix}"


def _of_option(called: str, option: str) -> str:
    if called not in public.__all__:
        return ""
    options = [
        each.name
        for each in inspect.signature(getattr(public, called)).parameters.values()
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD) and not each.name.startswith("_")
    ]
    return _did_you_mean(option, options) or f"it takes {', '.join(options)}"


def _of_variable(error: KeyError) -> str:
    *_, (frame, _) = [(None, 0), *traceback.walk_tb(error.__traceback__)]
    asked = frame is not None and frame.f_globals.get("__name__") == "os"
    return f"set this variable in {ROOT}/.env, or where the host is started" if asked else ""


def _did_you_mean(word: str, words: Iterable[str]) -> str:
    close = get_close_matches(word, words, n=1)
    return f"did you mean {close[0]}?" if close else ""
