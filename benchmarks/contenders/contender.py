"""What each contender can do, and what it is given to do it with."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.harness.driving import Call
from benchmarks.harness.processes import Server


class Site(Protocol):
    """Where a contender may keep its things."""

    folder: Path

    def database(self, label: str, *, migrated: bool = True) -> str:
        """A new database, with Outlast's tables or empty."""
        ...

    def log(self, name: str) -> Path:
        """Where a server's output goes."""
        ...


class Contender(Protocol):
    """A way of serving a workflow of `n` steps over HTTP, idempotent under a key."""

    name: str
    title: str
    """As the report calls it."""
    warm_calls: int
    """How many calls make it warm, at most."""

    def absent(self) -> str | None:
        """Why it can't run on this machine; None if it can."""
        ...

    def serve(self, site: Site, **options: Any) -> AbstractContextManager[Server]:
        """A running server, stopped at the end of the block. Options: `database`, `env`."""
        ...

    def call(self, steps: int, **more: Any) -> Call:
        """A call of a workflow of that many steps."""
        ...
