"""What a call costs the database in round trips and commits: counted on the wire, not timed."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.processes import first_answer
from benchmarks.harness.section import Section, Table
from tests.engine.wire import Traffic, reading_along

CALLS = 100
STEPS = (0, 1, 10)
IDLE_S = 10.0


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "sql_cost",
        "What a call costs the database",
        f"Counted by a proxy that reads the Postgres protocol along, for {CALLS} calls one after the "
        "other; what an idle instance does anyway in that time is subtracted. A transaction that only "
        "reads counts as a commit too.",
    )
    table = Table("Per call, one at a time", ["", "steps", "round trips", "commits"], [])
    idle = Table(f"Idle, over {IDLE_S:.0f} s", ["", "queries/s"], [])
    for name in lab.present("outlast", "dbos-sync"):
        rows, idle_per_s = asyncio.run(_count(lab, name, lab.database(name, migrated=name == "outlast")))
        title = lab.contenders[name].title
        idle.rows.append([title, f"{idle_per_s:.1f}"])
        for steps, trips, commits in rows:
            table.rows.append([title, str(steps), f"{trips:.1f}", f"{commits:.1f}"])
            lab.say(f"{title}, {steps} steps: {trips:.1f} round trips, {commits:.1f} commits a call")
        section.raw[name] = {"per_call": rows, "idle_queries_per_s": idle_per_s}
        if name == "outlast":
            by_steps = {steps: commits for steps, _, commits in rows}
            section.ratios.append(
                f"A one-step call is {by_steps[1]:.0f} commits, a ten-step call {by_steps[10]:.0f}; "
                f"an idle instance asks {idle_per_s:.1f} queries/s."
            )
    section.tables += [table, idle]
    return section


async def _count(lab: Lab, name: str, url: str) -> tuple[list[tuple[int, float, float]], float]:
    contender = lab.contenders[name]
    rows = []
    with tempfile.TemporaryDirectory(prefix="wire") as folder:
        async with reading_along(url, Path(folder)) as (through, traffic):
            with contender.serve(lab, database=through) as server:
                await asyncio.to_thread(first_answer, server, contender.call(1).request())
                await asyncio.to_thread(drive, server, contender.call(1), 1, requests=50)
                idle_per_s = await _idle(traffic)
                for steps in STEPS:
                    traffic.reset()
                    began = asyncio.get_running_loop().time()
                    await asyncio.to_thread(drive, server, contender.call(steps), 1, requests=CALLS)
                    background = idle_per_s * (asyncio.get_running_loop().time() - began)
                    rows.append(
                        (
                            steps,
                            (traffic.round_trips - background) / CALLS,
                            (traffic.transactions - background) / CALLS,
                        )
                    )
                await asyncio.to_thread(server.stop)
    return rows, idle_per_s


async def _idle(traffic: Traffic) -> float:
    await asyncio.sleep(1.0)
    traffic.reset()
    await asyncio.sleep(IDLE_S)
    return traffic.round_trips / IDLE_S
