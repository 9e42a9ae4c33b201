"""What a workload works with: databases, servers, how long to measure, and a place for logs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.contenders.contender import Contender
from benchmarks.harness.database import Postgres
from benchmarks.harness.driving import drive
from benchmarks.harness.processes import Server, first_answer

WARM_CALLS = 2_000


@dataclass
class Lab:
    """One run of the harness."""

    postgres: Postgres
    folder: Path
    contenders: dict[str, Contender]
    """Those that can run on this machine, by name."""
    quick: bool
    rounds: int
    seconds: float

    @property
    def rounds_few(self) -> int:
        """For what decides nothing."""
        return max(2, (self.rounds + 1) // 2)

    def say(self, text: str) -> None:
        """Tell how far the run is."""
        click.echo(f"    {text}", err=True)

    def present(self, *names: str) -> list[str]:
        """Those of `names` that can run here."""
        return [name for name in names if name in self.contenders]

    @contextlib.contextmanager
    def serving(self, name: str, **options: Any) -> Iterator[Server]:
        """A contender's server on a database of its own, answering."""
        with self.all_serving([name], **options) as servers:
            yield servers[name]

    @contextlib.contextmanager
    def all_serving(
        self, names: Sequence[str], *, warm: bool = True, **options: Any
    ) -> Iterator[dict[str, Server]]:
        """Servers of several contenders, each on a database of its own, answering and warm."""
        with contextlib.ExitStack() as stack:
            servers = {}
            for name in names:
                contender = self.contenders[name]
                server = stack.enter_context(contender.serve(self, **options))
                first_answer(server, contender.call(1).request())
                servers[name] = server
            if warm:
                for name, server in servers.items():
                    contender = self.contenders[name]
                    calls = min(WARM_CALLS // (10 if self.quick else 1), contender.warm_calls)
                    drive(server, contender.call(1), 16, requests=calls)
            yield servers

    def database(self, label: str, *, migrated: bool = True) -> str:
        """See Site."""
        return self.postgres.migrated(label) if migrated else self.postgres.empty(label)

    def log(self, name: str) -> Path:
        """Where a server's output goes."""
        return self.folder / "logs" / f"{name}.log"
