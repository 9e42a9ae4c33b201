"""Every fact has its line in the log, or is left to the level of debugging on purpose."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, get_type_hints

import pytest

from outlast.core import observations as facts
from outlast.observe.log import _LINES, _TOLD, log

VALUES: dict[Any, Any] = {
    str: "some\n  text",
    int: 3,
    float: 1.25,
    bool: True,
    tuple[str, ...]: ("a", "b"),
    tuple[tuple[str, int], ...]: (("a", 1),),
    tuple[float, ...]: (0.5,),
    Mapping[str, Any]: {"message": "no code fits", "reason": "function_missing"},
}
KINDS = [each for each in vars(facts).values() if getattr(each, "__base__", None) is facts.Observation]
KINDS.remove(facts.LoopLooked)  # told a few times a second, for metrics alone
FOR_DEBUGGING: set[type[facts.Observation]] = {facts.StepEnded, facts.JournalCommitted}


def example(kind: type[facts.Observation]) -> facts.Observation:
    hints = get_type_hints(kind)
    return kind(**{name: VALUES.get(hints[name]) for name in kind.__struct_fields__})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_fact_has_its_line_or_is_for_debugging_alone(
    kind: type[facts.Observation], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "outlast"):
        log(example(kind))
    assert caplog.records
    assert kind not in _LINES or "\n" not in caplog.records[0].getMessage()
    assert (kind in _LINES) + (kind in _TOLD) == (kind not in FOR_DEBUGGING)


def test_a_line_names_its_workflow_step_and_attempt(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "outlast"):
        log(facts.StepRetried("w", "2.1", "pay", 3, 0.5, "OSError: gone\n for good"))
    (record,) = caplog.records
    expected = "w step 2.1 'pay': attempt 3 failed (OSError: gone for good); the next in 0.5 s"
    assert record.getMessage() == expected
    assert (record.workflow_id, record.step_id, record.attempt) == ("w", "2.1", 3)  # type: ignore[attr-defined]


def test_claims_of_what_begins_are_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "outlast"):
        log(facts.WorkflowsClaimed(("new", "woken", "lost"), begun=("new",)))
        log(facts.WorkflowsClaimed(("new",), begun=("new",)))
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("INFO", "claimed 2 workflows: woken, lost"),
        ("DEBUG", "claimed 1 workflow: new"),
    ]


def test_a_cancel_is_no_failure_and_several_instances_are_gone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "outlast"):
        log(facts.WorkflowEnded("w", "f", "CANCELLED", 0.1, "the workflow was cancelled"))
        log(facts.WorkflowEnded("w", "f", "ERROR", 0.1, "it is broken"))
        log(facts.WorkflowStopped("w", "f", "CancelledHere", "the workflow was cancelled", 0.1))
        log(facts.InstanceLost("a", 1, (), "lease"))
        log(facts.InstanceLost("a, b", 2, (), "lease"))
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("INFO", "w is cancelled: the workflow was cancelled"),
        ("ERROR", "w failed: it is broken"),
        ("DEBUG", "w left this instance (CancelledHere): the workflow was cancelled"),
        ("WARNING", "instance a is gone: recovering 1 of its workflows"),
        ("WARNING", "instances a, b are gone: recovering 2 of their workflows"),
    ]
