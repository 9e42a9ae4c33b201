"""`python -m benchmarks`: measure, and write the report."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click

from benchmarks.catalog import CONTENDERS, WORKLOADS
from benchmarks.contenders.peers_venv import versions
from benchmarks.harness.database import Postgres
from benchmarks.harness.lab import Lab
from benchmarks.harness.machine import describe, now, revision
from benchmarks.harness.processes import BenchmarkError
from benchmarks.harness.report import Origin, Report

HERE = Path(__file__).parent
CACHE = HERE / ".cache"


@click.command()
@click.option("--only", default="", help="Names of what to measure, with commas. Default: everything.")
@click.option("--quick", is_flag=True, help="Short rounds, few of them: for trying the harness.")
@click.option("--rounds", type=click.IntRange(1, 50), help="Rounds of what is compared.")
@click.option("--seconds", type=click.FloatRange(0.2, 60), help="Seconds of each measurement.")
@click.option("--out", type=click.Path(path_type=Path), default=HERE, help="Where README.md and results/ go.")
@click.option("--list", "listing", is_flag=True, help="Name what can be measured.")
@click.option("--report", "report_only", is_flag=True, help="Measure nothing; write the report anew.")
def main(
    only: str,
    quick: bool,
    rounds: int | None,
    seconds: float | None,
    out: Path,
    listing: bool,
    report_only: bool,
) -> None:
    """Measure what Outlast costs, and write benchmarks/README.md."""
    if listing:
        for name in WORKLOADS:
            click.echo(f"{name:14} {_about(name)}")
        return
    names = [name.strip() for name in only.split(",") if name.strip()] or list(WORKLOADS)
    if unknown := [name for name in names if name not in WORKLOADS]:
        raise click.UsageError(f"no such measurement: {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    report = Report(out, WORKLOADS)
    try:
        if not report_only:
            # SIGTERM ends as Ctrl-C does: every server is stopped on the way out.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with _alone():
                # Many short rounds, not few long ones: a neighbour then disturbs all contenders.
                _measure(
                    names, report, quick, rounds or (2 if quick else 5), seconds or (0.6 if quick else 1.5)
                )
    finally:
        click.echo(f"wrote {report.write().name}", err=True)


def _measure(names: list[str], report: Report, quick: bool, rounds: int, seconds: float) -> None:
    absent = {name: why for name, each in CONTENDERS.items() if (why := each.absent()) is not None}
    for name, why in absent.items():
        click.echo(f"without {name}: {why}", err=True)
    contenders = {name: each for name, each in CONTENDERS.items() if name not in absent}
    failed, run = [], now()
    with Postgres.running(CACHE / "postgres") as postgres:
        lab = Lab(postgres, CACHE / "run", contenders, quick, rounds, seconds)
        machine = describe(postgres.describe(), versions())
        for name in names:
            click.echo(f"{name}: {_about(name)}", err=True)
            measured, commit, began = now(), revision(), time.perf_counter()
            try:
                section = WORKLOADS[name].measure(lab)
            except BenchmarkError as error:
                failed.append(name)
                click.echo(f"  {name} failed: {error}", err=True)
            else:
                took_s = time.perf_counter() - began
                report.keep(section, Origin(run, commit, measured, took_s, machine, rounds, seconds, quick))
            click.echo(f"  {time.perf_counter() - began:.0f} s", err=True)
    if failed:
        raise click.ClickException(f"not measured: {', '.join(failed)}")


def _about(name: str) -> str:
    return (WORKLOADS[name].__doc__ or "").splitlines()[0]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two at once would measure each other, and share the folder of the database."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException("another measurement is running") from None
        yield


if __name__ == "__main__":
    main()
