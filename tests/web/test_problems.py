"""The table of problems: each code has one status, and the page of errors tells of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import outlast
from outlast.core.errors import Overloaded, WorkflowCancelled, WorkflowEnded
from outlast.core.status import Status
from outlast.core.verbs import CANCEL
from outlast.web.http.problems import _STATUS, Problem, expected_problem

ROOT = Path(__file__).parents[2]
OF_500 = {"function_error", "internal_error", "workflow_error", "workflow_timeout", "recovery_exhausted"}


def codes_in_code() -> set[str]:
    texts = [path.read_text("utf-8") for path in Path(outlast.__file__).parent.rglob("*.py")]
    return {code for text in texts for code in re.findall(r'(?:Problem|refusal)\(\s*"(\w+)"', text)}


def test_every_code_that_is_answered_has_a_status() -> None:
    assert codes_in_code() - OF_500 <= set(_STATUS)
    assert len(codes_in_code()) > 20


@pytest.mark.parametrize("code", [each for each in _STATUS if not each.startswith("UNAUTHORIZED_")])
def test_the_page_of_errors_tells_of_it(code: str) -> None:
    assert f"`{code}`" in (ROOT / "docs" / "http.md").read_text("utf-8")


def test_a_problem_has_the_status_of_its_code() -> None:
    assert (Problem("rate_limited", "x").status, Problem("rate_limited", "x").retryable) == (429, True)
    assert (Problem("x", "x").status, Problem("x", "x").retryable) == (500, False)
    assert Problem("http_exception", "x", status=418).status == 418


def test_how_another_workflow_ended_is_no_answer_of_this_call() -> None:
    assert expected_problem(Overloaded("full")) is not None
    assert expected_problem(WorkflowCancelled("w", "cancelled")) is None
    assert expected_problem(WorkflowEnded("ended")) is None


def test_a_verb_that_is_refused_tells_which_statuses_it_takes() -> None:
    expected = "the workflow is SUCCESS; only one that is ENQUEUED or PENDING can be cancelled"
    assert CANCEL.refusal(Status.SUCCESS) == expected
