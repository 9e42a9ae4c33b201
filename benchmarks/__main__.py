"""`python -m benchmarks`: measure, and write the report."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.catalog import CONTENDERS, WORKLOADS
from benchmarks.harness.database import Postgres
from benchmarks.harness.lab import Lab
from benchmarks.harness.machine import describe
from benchmarks.harness.processes import BenchmarkError
from benchmarks.harness.report import Report

HERE = Path(__file__).parent
CACHE = HERE / ".cache"


@click.command()
@click.option("--only", default="", help="Names of what to measure, with commas. Default: everything.")
@click.option("--quick", is_flag=True, help="Short rounds, few of them: for trying the harness.")
@click.option("--rounds", type=click.IntRange(1, 50), help="Rounds of each measurement.")
@click.option("--seconds", type=click.FloatRange(0.2, 60), help="Seconds of each round.")
@click.option("--list", "listing", is_flag=True, help="Name what can be measured.")
@click.option("--report", "report_only", is_flag=True, help="Measure nothing; write the report anew.")
def main(
    only: str, quick: bool, rounds: int | None, seconds: float | None, listing: bool, report_only: bool
) -> None:
    """Measure what Outlast costs, and write benchmarks/README.md."""
    report = Report(HERE, WORKLOADS)
    if listing:
        for name, workload in WORKLOADS.items():
            click.echo(f"{name:14} {(workload.__doc__ or '').splitlines()[0]}")
        return
    names = [name.strip() for name in only.split(",") if name.strip()] or list(WORKLOADS)
    if unknown := [name for name in names if name not in WORKLOADS]:
        raise click.UsageError(f"no such measurement: {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    try:
        if not report_only:
            # SIGTERM ends as Ctrl-C does: every server is stopped on the way out.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            conditions = {
                "quick": quick,
                # Many short rounds, not few long ones: a neighbour then disturbs all contenders.
                "rounds": rounds or (2 if quick else 8),
                "seconds": seconds or (1.0 if quick else 2.0),
            }
            _measure(names, report, conditions)
    finally:
        click.echo(f"wrote {report.write().name}", err=True)


def _measure(names: list[str], report: Report, conditions: dict[str, Any]) -> None:
    absent = {name: why for name, each in CONTENDERS.items() if (why := each.absent()) is not None}
    for name, why in absent.items():
        click.echo(f"without {name}: {why}", err=True)
    failed = []
    with Postgres.running(CACHE / "postgres-home") as postgres:
        lab = Lab(
            postgres=postgres,
            folder=CACHE / "run",
            contenders={name: each for name, each in CONTENDERS.items() if name not in absent},
            **conditions,
        )
        machine = describe(postgres.version(), postgres.settings())
        for name in names:
            click.echo(f"{name}: {(WORKLOADS[name].__doc__ or '').splitlines()[0]}", err=True)
            began = time.perf_counter()
            try:
                report.keep(WORKLOADS[name].measure(lab), machine, conditions)
            except BenchmarkError as error:
                failed.append(name)
                click.echo(f"  {name} failed: {error}", err=True)
            click.echo(f"  {time.perf_counter() - began:.0f} s", err=True)
    if failed:
        raise click.ClickException(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
