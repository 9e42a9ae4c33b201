"""Declarations of functions outside their files: whether and from which file they are served, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Declared:
    """The declarations of one function. A repr never shows values of the environment, which are secrets."""

    enabled: bool = True
    entrypoint: str | None = None
    """The Python file that serves it, as written; None: `NAME.py` or `NAME/index.py`."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that only this function sees."""
    verify_jwt: bool | None = None
    """Whether the gateway checks its callers; None if nothing is declared."""
    fault: str | None = None
    """Why it can't be served as declared."""


@dataclass(frozen=True, slots=True)
class Declarations:
    """The declarations of all functions. If two are equal, no reload is needed."""

    functions: Mapping[str, Declared] = field(default_factory=dict)
    common: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that files add to the process's environment, for all functions."""
    where: Path = Path("supabase")
    """The folder that entrypoints are relative to; or its parent, if that leads to the functions."""
    source: str = "supabase/config.toml"
    """The file in which entrypoints are written, for messages."""


Declare = Callable[[], Declarations]
"""Reads the declarations again. May be called in any thread; raises OutlastError if they can't be read."""
NOTHING = Declarations()


def declare_nothing() -> Declarations:
    """A `Declare` without any declarations."""
    return NOTHING
