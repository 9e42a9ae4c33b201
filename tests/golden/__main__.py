"""`python -m tests.golden record VERSION`: run the frozen workflows on a real database and keep its rows."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import click
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from outlast.core.records import NewWorkflow
from outlast.host.embedded import EmbeddedPostgres
from outlast.store.connections import Database
from outlast.store.migrations import migrate
from tests.engine.harness import Bench, engine_on
from tests.golden import workflows
from tests.golden.cases import CASES, SUSPENDED, Case
from tests.golden.history import HERE, History, children_of, rows_of


@click.group()
def main() -> None:
    """Golden histories."""


@main.command()
@click.argument("version")
@click.option("--only", type=click.Choice([case.name for case in CASES]), help="Record one case.")
def record(version: str, only: str | None) -> None:
    """Record all cases with today's code. Refuses what has been recorded."""
    chosen = [case for case in CASES if only is None or case.name == only]
    for case in chosen:
        if (HERE / version / f"{case.name}.json").exists():
            raise click.ClickException(f"{case.name} of {version} is there: it is never written again")
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres.start(Path(folder) / "postgres", durable=False) as server,
    ):
        for case in chosen:
            history = asyncio.run(_record(case, version, _database(server.url, f"golden_{case.name}")))
            click.echo(str(history.save().relative_to(HERE)))


def _database(server: str, name: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return make_conninfo(server, dbname=name)


async def _record(case: Case, version: str, url: str) -> History:
    await migrate(Database.at(url, "golden"))
    with psycopg.connect(url) as connection:
        connection.execute(workflows.LEDGER)
    workflow_id = f"golden:{case.name}"
    reached = asyncio.Event()

    async def stay() -> None:
        reached.set()
        await asyncio.get_running_loop().create_future()

    if case.cut not in (None, SUSPENDED):
        workflows.gates[case.cut] = stay
    async with engine_on(url, *workflows.ALL) as bench:
        await begin(bench, case, workflow_id)
        if case.cut is None:
            await bench.engine.wait(workflow_id, 30.0)
        elif case.cut == SUSPENDED:
            await bench.suspended(workflow_id)
        else:
            async with asyncio.timeout(30.0):
                await reached.wait()
        if case.cut is not None:
            await bench.abandon()
    workflows.gates.clear()
    return await _finished(version, case, url, workflow_id)


async def _finished(version: str, case: Case, url: str, workflow_id: str) -> History:
    """What is there now, and how it ends once another instance has finished it."""
    workflow, steps = rows_of(url, workflow_id)
    children = tuple(rows_of(url, child) for child in children_of(url, workflow_id))
    async with engine_on(url, *workflows.ALL) as bench:
        state = await bench.engine.wait(workflow_id, 30.0)
    assert state is not None
    return History(
        version,
        case.name,
        workflow,
        steps,
        children,
        state.status.value,
        state.output,
        state.error,
        state.response,
    )


async def begin(bench: Bench, case: Case, workflow_id: str) -> None:
    """Start a case's workflow; over HTTP it would come with its request."""
    if case.request is None:
        await bench.start(case.workflow, *case.args, workflow_id=workflow_id)
        return
    definition = case.workflow.definition
    request = case.request.record(with_body=True)
    new = NewWorkflow(workflow_id, definition.name, None, request, fingerprint="golden")
    await bench.engine.starts.start_new(new, definition, None)


if __name__ == "__main__":
    main()
