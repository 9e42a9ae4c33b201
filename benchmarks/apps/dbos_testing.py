"""A test of a DBOS workflow, as its page on testing has it: `python dbos_testing.py SYSTEM_DATABASE_URL`.

Prints one JSON object. `reset_ms`: what its page says to do between tests. `sleep_ms`: the reset, and a test
whose workflow sleeps a second: DBOS has no time but the real one. `steps_ms`: the reset, and 50 steps, once.
"""

from __future__ import annotations

from time import perf_counter

began = perf_counter()
from dbos import DBOS, DBOSConfig  # type: ignore[import-not-found]  # noqa: E402

import_s = perf_counter() - began

import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402

STEPS = 50
SLEEP_S = 1.0
TESTS = 3
CONFIG: DBOSConfig = {
    "name": "testing",
    "system_database_url": sys.argv[1],
    "run_admin_server": False,
    "log_level": "ERROR",
}


@DBOS.step()
def one(number: int) -> int:
    return number


@DBOS.workflow()
def fifty() -> int:
    return sum(one(number) for number in range(STEPS))


@DBOS.workflow()
def naps() -> str:
    DBOS.sleep(SLEEP_S)
    return "awake"


def reset() -> None:
    """https://docs.dbos.dev/python/tutorials/testing"""
    DBOS.destroy()
    DBOS(config=CONFIG)
    DBOS.reset_system_database()
    DBOS.launch()


def median_ms(test: Callable[[], object]) -> float:
    """Of some tests, each after a reset."""
    spans = []
    for _ in range(TESTS):
        started = perf_counter()
        reset()
        test()
        spans.append((perf_counter() - started) * 1000)
    return sorted(spans)[TESTS // 2]


def main() -> None:
    """Measure."""
    reset()  # the first one makes the tables
    figures = {
        "import_s": import_s,
        "reset_ms": median_ms(lambda: None),
        "sleep_ms": median_ms(naps),
        "steps_ms": median_ms(fifty),
    }
    DBOS.destroy()
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
