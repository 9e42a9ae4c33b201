"""What the same HTTP stack does with no durability at all: a Starlette endpoint."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.contenders.contender import Site
from benchmarks.harness.driving import Call
from benchmarks.harness.processes import Server, free_port, spawn, stopping

APP = Path(__file__).parents[1] / "apps" / "plain.py"


class Plain:
    """JSON in, JSON out, nothing kept."""

    name = "plain"
    title = "Plain Starlette"
    warm_calls = 10_000

    def absent(self) -> str | None:
        """Never."""
        return None

    def launch(self, site: Site) -> Server:
        """Start the process; it may not answer yet."""
        port = free_port()
        return spawn(self.name, [sys.executable, str(APP), str(port)], port, site.log(self.name))

    @contextlib.contextmanager
    def serve(self, site: Site, **options: Any) -> Iterator[Server]:
        """See Contender."""
        with stopping(self.launch(site)) as server:
            yield server

    def call(self, steps: int, **more: Any) -> Call:
        """See Contender."""
        return Call("/steps", {"n": steps, **more})
