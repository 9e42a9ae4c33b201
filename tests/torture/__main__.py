"""`python -m tests.torture`: real hosts on a real Postgres under real faults, until a promise is seen broken."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.figures import publish
from tests.torture.faults import FAULTS
from tests.torture.fleet import environment, imported_from
from tests.torture.oracles.violations import say
from tests.torture.report import conclude, markdown
from tests.torture.run import Run, Wishes

_ENDING_S = 150.0


def main() -> int:
    """0: nothing violated; 1: something was; 2: it could not be run."""
    options = _options()
    seed = options.seed or secrets.token_hex(4)
    replay = [
        f"--minutes {options.minutes:g}",
        f"--seed {seed}",
        f"--hosts {options.hosts}",
        f"--rate {options.rate:g}",
    ]
    replay += [f"--only {shlex.quote(options.only)}"] if options.only else []
    say(f"seed {seed}; the same again: python -m tests.torture {' '.join(replay)}")
    names = [each.strip() for each in options.only.split(",")] if options.only else []
    chosen = [fault() for fault in FAULTS if not names or fault.name in names]
    if unknown := set(names) - {fault.name for fault in FAULTS}:
        say(f"there is no fault {sorted(unknown)}; there are: {', '.join(fault.name for fault in FAULTS)}")
        return 2
    package = options.package.resolve() if options.package else None
    found = imported_from(environment(package))
    if package is not None and found.parent != package:
        say(f"the hosts would import outlast from {found}, not from {package}")
        return 2
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=options.out))
    folder.chmod(0o755)
    wishes = Wishes(options.minutes, seed, options.hosts, options.rate, package, chosen, folder)
    violated = None
    try:
        violated = uvloop.run(_run(wishes, publishes=options.publish))
    finally:
        if violated is False and options.out is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"all logs and the database: {folder}")
        say(f"seed {seed}; the same again: python -m tests.torture {' '.join(replay)}")
    return 1 if violated else 0


async def _run(wishes: Wishes, *, publishes: bool) -> bool:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    run = Run(wishes)
    try:
        async with asyncio.timeout(wishes.minutes * 60 + _ENDING_S):
            await run.start()
            await run.torture()
            await run.heal()
            await run.settle()
            await conclude(run)
    finally:
        await run.close()
    if publishes:
        publish("torture", markdown(run))
    return bool(run.outcome.violations)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults rage (%(default)s)")
    parser.add_argument("--seed", default="", help="of the schedule and the inputs; drawn if not given")
    parser.add_argument("--hosts", type=int, default=4, help="instances, three or more (%(default)s)")
    parser.add_argument("--rate", type=float, default=30.0, help="pieces of work a second (%(default)s)")
    parser.add_argument("--only", default="", help="faults by name, comma-separated")
    parser.add_argument("--package", type=Path, help="the folder that holds the `outlast` the hosts import")
    parser.add_argument("--out", type=Path, help="keep all logs below this folder")
    parser.add_argument("--publish", action="store_true", help="write the figures to docs/reliability.md")
    options = parser.parse_args()
    if options.hosts < 3:
        parser.error("--hosts: three or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
