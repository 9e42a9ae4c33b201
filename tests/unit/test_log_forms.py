"""One record is one line: nothing that a record holds begins another, or moves the cursor of a terminal."""

from __future__ import annotations

import contextvars
import json
import logging
import sys
from collections.abc import Callable

import pytest

from outlast.core.printable import escape, escape_json
from outlast.core.tracebacks import format_traceback
from outlast.observe.forms import MARK, JsonFormatter, TextFormatter, name_workflow
from outlast.sdk.context import Context, WorkflowLogger, enter_context
from outlast.sdk.durations import seconds_of

NASTY = "a\r\nb\x1b[2J\x07\x9b\u2028\u2029\u202ec\x85d\x7f"


def record(message: str, **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelname": "INFO", **fields})


def raised(error: BaseException) -> logging.LogRecord:
    try:
        raise error
    except BaseException:
        return record("it failed", exc_info=sys.exc_info())


def test_a_text_record_is_one_line() -> None:
    text = TextFormatter().format(record(NASTY))
    assert text.isprintable()
    assert text.endswith("info    " + escape(NASTY))


def test_a_traceback_is_below_it_and_marked() -> None:
    lines = TextFormatter().format(raised(ValueError(f"x\n12:00:00 error   forged{NASTY}"))).split("\n")
    assert len(lines) > 3
    assert all(line.startswith(MARK) for line in lines[1:])
    assert all(line.isprintable() for line in lines)


def test_a_recorded_traceback_is_marked_too() -> None:
    lines = (
        TextFormatter()
        .format(record("it failed", traceback="Traceback:\n12:00:00 error   forged"))
        .split("\n")
    )
    assert lines[1:] == [f"{MARK}Traceback:", f"{MARK}12:00:00 error   forged"]


def test_a_json_record_is_one_line_for_every_reader_of_lines() -> None:
    text = JsonFormatter().format(record(NASTY, order={"note": NASTY}))
    assert text.splitlines() == [text]
    assert json.loads(text)["message"] == NASTY
    assert json.loads(text)["order"]["note"] == NASTY
    assert not set(text) & set("\x7f\x85\x9b\u2028\u2029\u202e")


@pytest.mark.parametrize("text", [NASTY, "plain", "grüße 👋"])
def test_escaped_json_reads_the_same(text: str) -> None:
    assert json.loads(escape_json(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize(
    ("logger", "named"),
    [("hello", True), ("outlast.function", True), ("outlast", False), ("outlast.requests", False)],
)
def test_records_of_functions_name_their_workflow_and_ours_do_so_themselves(logger: str, named: bool) -> None:
    def log() -> bool:
        here = Context("hello", "hello:1", logging.LoggerAdapter(logging.getLogger("x")))
        enter_context(lambda: here)
        made = record("hi", name=logger)
        assert name_workflow(made)
        return getattr(made, "workflow_id", None) == "hello:1"

    assert contextvars.copy_context().run(log) is named


def test_whoever_logs_does_not_fail_for_what_is_told_beside() -> None:
    def log() -> bool:
        enter_context(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        return name_workflow(record("hi", name="hello"))

    assert contextvars.copy_context().run(log)


def test_what_the_caller_says_beside_a_record_survives() -> None:
    logger = WorkflowLogger(logging.getLogger("x"), "hello:1", lambda: False)
    text, keywords = logger.process("hi", {"extra": {"order": 7}})
    assert (text, keywords["extra"]) == ("[hello:1] hi", {"workflow_id": "hello:1", "order": 7})


def traced(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:
        return format_traceback(error)
    raise AssertionError("it was to raise")


def badly() -> None:
    seconds_of("no", "the wait")  # type: ignore[arg-type]


def test_our_own_frames_are_one_line_of_a_traceback() -> None:
    told = traced(badly)
    assert "  … 1 frame of Outlast …\n" in told
    assert "/outlast/sdk/" not in told
    assert "in badly" in told


def test_where_all_is_ours_all_is_shown() -> None:
    error = ValueError("no frames")
    assert format_traceback(error) == "ValueError: no frames\n"


def test_causes_and_groups_are_folded_too() -> None:
    def fails() -> None:
        try:
            badly()
        except Exception as inner:
            raise ExceptionGroup("both", [inner, ValueError("x")]) from inner

    told = traced(fails)
    assert "/outlast/sdk/" not in told
    assert told.count("of Outlast …") == 2
