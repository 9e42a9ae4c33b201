"""`python -m tests.mutants`: take one guard away at a time; each time some test must notice."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from outlast.host.embedded import EmbeddedPostgres
from tests import figures
from tests.databases import make_templates
from tests.mutants.catalogue import MUTANTS
from tests.mutants.control import Control, Uncontrolled
from tests.mutants.layers import examine
from tests.mutants.mutant import ALL_LAYERS, LAYERS, Mutant, mutated
from tests.mutants.report import Result, markdown, say, told
from tests.mutants.runs import ORIGINAL, copy
from tests.scratch import scratch_folder


def main() -> int:
    """Examine the chosen mutants; 1 if any survives, 2 if nothing could be proved."""
    chosen = _options()
    mutants = _chosen(chosen.only)
    layers = list(chosen.layers or LAYERS)
    if chosen.list:
        for mutant in mutants:
            say(f"{mutant.name:36} {mutant.guard}")
        return 0
    for each in mutants:
        mutated(each)  # raises DoesNotApply before anything else is done
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch, _postgres() as postgres:
        folder = Path(scratch)
        copy(folder / ORIGINAL)
        try:
            results = _examine_all(mutants, layers, folder, postgres, chosen)
        except Uncontrolled as error:
            say(str(error))
            return 2
    return _judge(results, mutants, time.monotonic() - began, chosen)


def _examine_all(
    mutants: list[Mutant], layers: list[str], folder: Path, postgres: str, chosen: argparse.Namespace
) -> list[Result]:
    every = chosen.all_layers
    control = Control(folder, postgres)
    control.prepare(mutants, layers, chosen.jobs, every=every)
    results = []
    with ThreadPoolExecutor(chosen.jobs) as threads:
        asked = [
            threads.submit(examine, each, layers, folder, postgres, control, every=every) for each in mutants
        ]
        try:
            for done in as_completed(asked):
                results.append(done.result())
                say(told(results[-1]))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _judge(results: list[Result], mutants: list[Mutant], took_s: float, chosen: argparse.Namespace) -> int:
    order = {mutant.name: number for number, mutant in enumerate(mutants)}
    results.sort(key=lambda result: order[result.mutant.name])
    unproved = [each for each in results if not each.caught]
    say(f"{len(results) - len(unproved)} of {len(results)} caught in {took_s:.0f} s")
    for each in unproved:
        say(told(each))
    if chosen.publish:
        figures.publish("mutants", markdown(results, took_s, chosen.jobs))
    return 1 if unproved else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", metavar="NAME,…", help="these mutants, by names or parts of names")
    parser.add_argument("--layers", type=lambda text: text.split(","), help=f"of {', '.join(ALL_LAYERS)}")
    parser.add_argument(
        "--all-layers", action="store_true", help="ask every layer, not up to the first that notices"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument("--publish", action="store_true", help="write the table into docs/reliability.md")
    parser.add_argument("--list", action="store_true", help="name the mutants")
    chosen = parser.parse_args()
    if unknown := set(chosen.layers or ()) - set(ALL_LAYERS):
        parser.error(f"no such layer: {', '.join(sorted(unknown))}")
    if chosen.publish and (chosen.only or chosen.layers):
        parser.error("only a whole run may be published")
    return chosen


def _chosen(only: str | None) -> list[Mutant]:
    if only is None:
        return list(MUTANTS)
    names = {each.name for each in MUTANTS}
    found: set[str] = set()
    for part in only.split(","):
        meant = {part} & names or {name for name in names if part in name}
        if not meant:
            raise SystemExit(f"no mutant is named so: {part}")
        found |= meant
    return [each for each in MUTANTS if each.name in found]


@contextmanager
def _postgres() -> Iterator[str]:
    """One server for all runs, with the template databases that tests copy."""
    with scratch_folder() as home, EmbeddedPostgres.start(home, durable=False) as server:
        make_templates(server.url)
        yield server.url


if __name__ == "__main__":
    sys.exit(main())
