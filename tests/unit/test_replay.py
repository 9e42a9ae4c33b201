"""What replay knows, without a database."""

from __future__ import annotations

import pytest

from outlast.core.paths import Branch
from outlast.core.records import StepRecord
from outlast.core.replay import History
from outlast.core.stops import Diverged


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
    history = History([record("1", "charge", 1)])
    assert history.meet("1", "charge") == record("1", "charge", 1)
    assert history.meet("2", "ship") is None


def test_another_name_diverges_and_both_are_told() -> None:
    with pytest.raises(Diverged, match=r"step 1 .*'charge'.*'refund'"):
        History([record("1", "charge", 1)]).meet("1", "refund")


def test_new_completions_come_after_recorded_ones() -> None:
    history = History([record("1", "a", 4), record("2", "b", 2), record("3", "sleep", None)])
    assert history.next_order() == 5
    assert history.next_release() == 2
    history.release(2)
    assert history.next_release() == 4
    history.release(4)
    assert history.next_release() is None


def test_replay_lasts_until_the_last_record_is_out_and_an_unfinished_sleep_is_reached() -> None:
    history = History([record("1", "a", 1), record("2", "sleep", None)])
    assert history.replaying
    history.meet("1", "a")
    history.release(1)
    assert history.replaying
    history.meet("2", "sleep")
    assert not history.replaying


def test_a_body_that_ends_before_what_it_once_did_diverges() -> None:
    history = History([record("1", "a", 1), record("3.1", "b", 2)])
    history.meet("1", "a")
    history.check_all_reached(3)
    with pytest.raises(Diverged, match=r"step 3\.1 'b'"):
        history.check_all_reached(2)


def test_a_branch_without_a_step_that_came_before_another_diverges() -> None:
    history = History([record("1.1", "a", 1), record("1.2", "b", 2), record("1.3", "c", 3)])
    history.meet("1.1", "a")
    history.release(1)
    history.check_all_reached(1)  # a task nobody waits for may be anywhere
    history.meet("1.3", "c")
    history.release(3)
    with pytest.raises(Diverged, match=r"step 1\.2 'b'"):
        history.check_all_reached(1)
