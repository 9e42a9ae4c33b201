"""What is declared of functions outside their files: whether they are served, whence, in what environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Declared:
    """What is said of one function. Values of the environment never show in a repr: they are secrets."""

    enabled: bool = True
    entrypoint: str | None = None
    """The Python file that serves it, as written; None for `NAME.py` or `NAME/index.py`."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What it alone sees."""
    verify_jwt: bool | None = None
    """Whether the gateway checks its callers; None where nothing is said of that."""
    fault: str | None = None
    """Why it can't be served as declared."""


@dataclass(frozen=True, slots=True)
class Declarations:
    """What is said of all functions. Two that are equal need no reload."""

    functions: Mapping[str, Declared] = field(default_factory=dict)
    common: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What files add to the process's environment, which all see."""
    where: Path = Path("supabase")
    """The folder that entrypoints are relative to; or its parent, where that leads to the functions."""
    source: str = "supabase/config.toml"
    """Where entrypoints are written, for messages."""


Declare = Callable[[], Declarations]
"""Reads them anew. May be called in any thread; raises OutlastError where they can't be read."""
NOTHING = Declarations()


def declare_nothing() -> Declarations:
    """A `Declare` that says nothing of any function."""
    return NOTHING
