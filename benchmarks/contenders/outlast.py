"""Outlast itself: `outlast serve` on the benchmark's functions."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.contenders.contender import Site
from benchmarks.harness.driving import Call
from benchmarks.harness.processes import Server, free_port, spawn, stopping

FUNCTIONS = Path(__file__).parents[1] / "apps" / "functions"


_ONE_CALLER = {
    "OUTLAST_CALLS_PER_CALLER_MAX": "1000000",
    "OUTLAST_CALLER_RUNNING_MAX": "1000000",
    "OUTLAST_CALLER_STREAMS_MAX": "1000000",
    "OUTLAST_CALLER_REQUESTS_PER_S_MAX": "1000000",
}
"""All calls come from one address, which has no share here."""


class Outlast:
    """One `outlast serve`, or several workers of it."""

    warm_calls = 10_000

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.name = "outlast" if workers == 1 else f"outlast-{workers}"
        self.title = "Outlast" if workers == 1 else f"Outlast, {workers} workers"

    def absent(self) -> str | None:
        """Never."""
        return None

    def launch(self, site: Site, database: str, env: dict[str, str] | None = None) -> Server:
        """Start the process; it may not answer yet."""
        port = free_port()
        script = str(Path(sys.executable).with_name("outlast"))
        command = [script, "serve", "--functions", str(FUNCTIONS), "--no-verify-jwt"]
        if self.workers > 1:
            command += ["--workers", str(self.workers)]
        settings = {"SUPABASE_DB_URL": database, "PORT": str(port), **_ONE_CALLER, **(env or {})}
        cwd = site.folder / "elsewhere"  # no .env and no config.toml there
        cwd.mkdir(parents=True, exist_ok=True)
        return spawn(self.name, command, port, site.log(self.name), env=settings, cwd=cwd)

    @contextlib.contextmanager
    def serve(self, site: Site, **options: Any) -> Iterator[Server]:
        """See Contender."""
        database = options.get("database") or site.database("outlast")
        with stopping(self.launch(site, database, options.get("env"))) as server:
            yield server

    def call(self, steps: int, **more: Any) -> Call:
        """See Contender."""
        return Call("/functions/v1/steps", {"n": steps, **more})

    def call_async(self, function: str, body: dict[str, Any]) -> Call:
        """A call that is answered as soon as the workflow is durable."""
        return Call(f"/functions/v1/{function}", body, {"Prefer": "respond-async"}, status=202)
