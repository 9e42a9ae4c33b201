"""`python -m tests.torture`: real hosts, a real Postgres, real faults: is a promise broken?"""

from __future__ import annotations

import argparse
import asyncio
import logging
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
from tests.torture.faults.field import Fault
from tests.torture.fleet import environment, imported_from
from tests.torture.oracles.violations import say
from tests.torture.report import conclude, markdown
from tests.torture.run import Run, Wishes

CLEAN, VIOLATED, NOT_RUN = 0, 1, 2
_BESIDES_S = 170.0
"""For starting, healing, draining and checking; usually it takes 40. Past it a run is given up."""


def main() -> int:
    """0: nothing was violated. 1: something was. 2: it could not be run, or was cut off before its end."""
    options = _options()
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it tells of each connection that we break
    seed = options.seed or secrets.token_hex(4)
    replay = f"seed {seed}; the same again: python -m tests.torture {_arguments(options, seed)}"
    say(replay)
    try:
        faults = _chosen(options.only)
        package = _package(options.package)
    except ValueError as error:
        say(str(error))
        return NOT_RUN
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=options.out))
    folder.chmod(0o755)  # a host's user needs not be ours
    wishes = Wishes(options.minutes, seed, options.hosts, options.rate, package, faults, folder)
    status = NOT_RUN
    try:
        status = uvloop.run(_run(wishes, publishes=options.publish))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("cut off before its end")
    except TimeoutError:
        say(f"given up: not done {_BESIDES_S:.0f} s after the last fault")
    except RuntimeError as error:
        say(f"could not be run: {error}")
    if status == CLEAN and options.out is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"all logs and the database: {folder}")
    say(replay)
    return status


async def _run(wishes: Wishes, *, publishes: bool) -> int:
    """The whole run, ended by a signal as by itself: nothing of it stays."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    run = Run(wishes)
    try:
        async with asyncio.timeout(wishes.minutes * 60 + _BESIDES_S):
            await run.start()
            await run.torture()
            await run.heal()
            await run.settle()
            await conclude(run)
    except BaseException:
        if run.outcome.violations:
            say(f"VIOLATIONS until then: {dict(run.outcome.violations.counts)}")
        raise
    finally:
        await run.close()
    if publishes:
        publish("torture", markdown(run))
    return VIOLATED if run.outcome.violations else CLEAN


def _chosen(only: str) -> list[Fault]:
    """The faults of these names, all of them for none. Raises ValueError."""
    names = {each.strip() for each in only.split(",") if each.strip()}
    if unknown := names - {fault.name for fault in FAULTS}:
        there = "\n  ".join(sorted(fault.name for fault in FAULTS))
        raise ValueError(f"there is no fault {', '.join(sorted(unknown))}; there are:\n  {there}")
    return [fault() for fault in FAULTS if not names or fault.name in names]


def _package(folder: Path | None) -> Path | None:
    """The folder of the package under test. Raises ValueError if the hosts would not import that one."""
    if folder is None:
        return None
    folder = folder.resolve()
    found = imported_from(environment(folder))
    if found.parent != folder:
        raise ValueError(f"the hosts would import outlast from {found.parent}, not from {folder}")
    return folder


def _arguments(options: argparse.Namespace, seed: str) -> str:
    """What makes the same run."""
    words = ["--minutes", f"{options.minutes:g}", "--seed", seed]
    words += ["--hosts", str(options.hosts), "--rate", f"{options.rate:g}"]
    if options.only:
        words += ["--only", options.only]
    if options.package is not None:
        words += ["--package", str(options.package)]
    return shlex.join(words)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults rage (%(default)s)")
    parser.add_argument("--seed", default="", help="of the schedule and the inputs; drawn if not given")
    parser.add_argument("--hosts", type=int, default=4, help="instances, three or more (%(default)s)")
    parser.add_argument("--rate", type=float, default=36.0, help="pieces of work a second (%(default)s)")
    parser.add_argument("--only", default="", metavar="FAULT,…", help="these faults by name")
    parser.add_argument("--package", type=Path, help="the folder that holds the `outlast` the hosts import")
    parser.add_argument("--out", type=Path, help="keep all logs below this folder")
    parser.add_argument("--publish", action="store_true", help="write the figures to docs/reliability.md")
    options = parser.parse_args()
    if options.hosts < 3:
        parser.error("--hosts: three or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
