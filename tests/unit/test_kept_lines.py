"""The ring in which lines of workflows are kept: bounded, seen by siblings, never torn for who reads."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import os
import signal

import pytest

from outlast.core.lines import CHARS_MAX, LINES_MAX, Line
from outlast.observe.kept_lines import KeptLines, LinesHandler, Printed, read_lines
from outlast.observe.redaction import redactor
from outlast.sdk.context import Context, WorkflowLogger, enter_attempt, enter_context


def line(text: str, at_s: float = 0.0) -> Line:
    return Line(0, at_s, "info", "stdout", "1", "pay", 1, text)


def texts(lines: KeptLines, workflow_id: str = "w") -> list[str]:
    return [each.message for each in lines.of(workflow_id)]


def test_a_workflows_last_lines_are_found_among_those_of_others() -> None:
    lines = KeptLines()
    for n in range(LINES_MAX + 20):
        lines.add("w", line(f"line {n}"))
        lines.add("w2", line("another's"))
        lines.add('w", "', line("a bad name's"))
    assert texts(lines) == [f"line {n}" for n in range(20, LINES_MAX + 20)]
    assert texts(lines, 'w", "')[-1] == "a bad name's"
    assert texts(lines, "nobody") == []
    first, second = lines.of("w")[:2]
    assert second.number > first.number
    assert first._replace(number=0) == line("line 20")


@pytest.mark.parametrize("size", [997, 1_000, 1_024])
def test_the_ring_keeps_the_newest_and_nothing_torn(size: int) -> None:
    lines = KeptLines(size)
    for n in range(500):
        lines.add("w", line(f"line {n} ä\n" + "x" * (n % 7)))
        last = texts(lines)
        assert last[-1].startswith(f"line {n} ä\n")
        assert [int(each.split()[1]) for each in last] == list(range(n - len(last) + 1, n + 1))
    assert len(texts(lines)) >= 5


def test_what_was_half_written_over_is_no_line() -> None:
    lines = KeptLines(1_000)
    for n in range(50):
        lines.add("w", line(f"line {n}"))
    written = lines._written
    lines._put(written % 1_000, b"[killed here")  # and the head not moved
    assert texts(lines)[-1] == "line 49"


def die(lines: KeptLines) -> None:
    lines.add("w", line("the last words"))
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads, and forks
def test_a_killed_siblings_lines_are_read_with_the_others_in_order_of_time() -> None:
    rings = [KeptLines(), KeptLines()]
    process = multiprocessing.get_context("fork").Process(target=die, args=(rings[0],))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    rings[1].add("w", line("before", -1.0))
    rings[1].add("w", line("after", 1.0))
    assert [each.message for each in read_lines(rings, "w")] == ["before", "the last words", "after"]


def run(replaying: bool = False, step: bool = True) -> None:
    """As in a workflow from here on."""
    known = Context("pay", "w", WorkflowLogger(logging.getLogger("x"), "w", lambda: replaying))
    enter_context(lambda: known)
    if step:
        enter_attempt("2.1", 3, 5, "charge")


async def test_what_is_printed_is_kept_with_its_step_and_still_printed() -> None:
    lines, stream = KeptLines(), io.StringIO()
    printed = Printed(stream, "stdout", lines)
    print("nobody's", file=printed)
    run()
    print("a", 1, end="", file=printed)
    print(" b\nc", file=printed, flush=True)
    print("x" * 3_000, file=printed)
    assert stream.getvalue() == f"nobody's\na 1 b\nc\n{'x' * 3_000}\n"
    kept = lines.of("w")
    assert [each.message for each in kept[:2]] == ["a 1 b", "c"]
    assert [len(each.message) for each in kept[2:]] == [CHARS_MAX]
    assert (kept[0].step_id, kept[0].step, kept[0].attempt, kept[0].logger) == ("2.1", "charge", 3, "stdout")
    assert printed.getvalue() == stream.getvalue()  # all else is the stream's


async def test_records_are_kept_by_the_workflow_that_they_name() -> None:
    lines = KeptLines()
    logger = logging.getLogger("mine")
    handler = LinesHandler(lines)
    logger.addHandler(handler)
    logger.propagate = False  # pytest would fail at the wrong format
    redactor.conceal(("a-very-secret-value",))
    try:
        logger.error("nobody's")
        run()
        logger.error("it is %s", "a-very-secret-value")
        logger.error("wrong %d", "format")
        WorkflowLogger(logger, "w", lambda: False).error("told")
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    kept = lines.of("w")
    assert [each.message for each in kept] == ["it is [redacted]", "told"]
    assert (kept[0].level, kept[0].logger, kept[0].step, kept[0].attempt) == ("error", "mine", "charge", 3)
    assert json.dumps(kept[0])
