"""What replay knows, without a database."""

from __future__ import annotations

import pytest

from outlast.core.kinds import SLEEP, STEP
from outlast.core.records import StepRecord
from outlast.core.replay import Branch
from outlast.core.stops import Diverged
from tests.histories import history_of


def record(step_id: str, name: str, order: int | None) -> StepRecord:
    return StepRecord(step_id, name, "1", None, 1, order)


def test_paths_number_calls_and_branches() -> None:
    body = Branch()
    assert body.next_id() == "1"
    branch = body.fork()
    deeper = branch.fork()
    assert [branch.next_id(), deeper.next_id(), body.next_id(), deeper.next_id()] == [
        "2.2",
        "2.1.1",
        "3",
        "2.1.2",
    ]


def test_a_call_meets_its_record_or_runs() -> None:
    history = history_of([record("1", "charge", 1)])
    assert history.meet("1", STEP, "charge") == record("1", "charge", 1)
    assert history.meet("2", STEP, "ship") is None


def test_another_name_diverges_and_both_are_told() -> None:
    with pytest.raises(Diverged, match=r"step 1 .*'charge'.*'refund'"):
        history_of([record("1", "charge", 1)]).meet("1", STEP, "refund")


def test_another_kind_of_the_same_name_diverges_and_both_are_told() -> None:
    recorded = record("1", "sleep", 1)._replace(kind=SLEEP)
    with pytest.raises(Diverged, match=r"sleep 'sleep'.*step 'sleep'"):
        history_of([recorded]).meet("1", STEP, "sleep")
    assert history_of([recorded]).meet("1", SLEEP, "sleep") == recorded
    assert history_of([record("1", "sleep", 1)]).meet("1", STEP, "sleep"), "kinds weren't recorded once"


def test_recorded_completions_come_in_their_order_and_new_ones_after() -> None:
    history = history_of([record("1", "a", 4), record("2", "b", 2), record("3", "sleep", None)])
    assert history.last_place == 4
    for step_id, name in (("1", "a"), ("2", "b")):
        history.meet(step_id, STEP, name)
    assert history.take() == record("2", "b", 2)
    assert history.take() == record("1", "a", 4)
    assert not history.left


def test_a_completion_whose_call_was_not_made_diverges() -> None:
    history = history_of([record("1", "a", 1), record("2", "b", 2)])
    history.meet("2", STEP, "b")
    with pytest.raises(Diverged, match=r"step 1 'a'.*waits"):
        history.take()


def test_replay_lasts_until_the_last_record_is_out_and_an_unfinished_sleep_is_reached() -> None:
    history = history_of([record("1", "a", 1), record("2", "sleep", None)])
    assert history.replaying
    history.meet("1", STEP, "a")
    history.take()
    assert history.replaying
    history.meet("2", SLEEP, "sleep")
    assert not history.replaying


def test_a_body_that_ends_before_what_it_once_did_diverges() -> None:
    history = history_of([record("1", "a", 1), record("3.1", "b", 2)])
    history.meet("1", STEP, "a")
    with pytest.raises(Diverged, match=r"step 3\.1 'b'"):
        history.check_all_reached()
    history.meet("3.1", STEP, "b")
    history.check_all_reached()
