"""The test kit: `python testing_kit.py`. Prints one JSON object.

`import_s`: from nothing to the fixture's class, without the interpreter's start. `sleep_ms`: a test that
sleeps 14 days. `steps_ms`: one of 50 steps. `crashes_s`: 50 steps killed at each of their points, with
the pairs.
"""

from __future__ import annotations

from time import perf_counter, process_time

began = perf_counter()
from outlast.testing import Outlast  # noqa: E402 - the import is what is measured

kit_class = Outlast
import_s = perf_counter() - began

import json  # noqa: E402
import sys  # noqa: E402
from datetime import timedelta  # noqa: E402
from typing import Any  # noqa: E402

from outlast import sleep, step, workflow  # noqa: E402

STEPS = 50
TESTS = 20


@step
async def one(number: int) -> int:
    return number


@workflow
async def fifty() -> int:
    return sum([await one(number) for number in range(STEPS)])


@workflow
async def fortnight() -> str:
    await sleep(timedelta(days=14))
    return "awake"


def test_of(tested: Any) -> float:
    """Milliseconds of one test, its fixture included."""
    started = perf_counter()
    kit = Outlast()
    assert kit.run(tested).result
    kit.close()
    return (perf_counter() - started) * 1000


def main() -> None:
    """Measure."""
    test_of(fortnight)  # the first one imports what only runs need
    sleeps, fifties = (sorted(test_of(each) for _ in range(TESTS)) for each in (fortnight, fifty))
    kit = Outlast()
    started, used = perf_counter(), process_time()
    report = kit.crash_everywhere(fifty)
    figures: dict[str, Any] = {
        "import_s": import_s,
        "sleep_ms": sleeps[TESTS // 2],
        "steps_ms": fifties[TESTS // 2],
        "crashes_s": perf_counter() - started,
        "cpu_s": process_time() - used,
        "crashes": report.crashes,
    }
    kit.close()
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
