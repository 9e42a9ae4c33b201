"""Queues under kills, freezes, lost connections and clocks that jump: no limit passed, no room unused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from outlast.core.ports import Unreachable
from outlast.core.records import NewWorkflow
from outlast.engine import endings, executor
from outlast.testing.statements import queues
from outlast.testing.statements.claiming import ClaimStatement
from outlast.testing.statements.queues import QueueClaimStatement, QueueStatements
from tests.mutants.marks import marks, without
from tests.mutants.mutant import PACKAGE
from tests.simulation import batching
from tests.simulation.queueing import RUNS

CHUNK = 10


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(6)]
)
def test_no_limit_is_passed_and_no_room_unused(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


def test_nothing_is_held_for_code_that_was_only_frozen() -> None:
    """The one instance is frozen. When it goes on all is overdue, and nobody else ever had code for it."""
    assert RUNS.play(777000224) == []


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_goes_wrong(seed: int) -> None:
    assert RUNS.calm(seed) == []


@pytest.mark.parametrize("first", range(0, 2 * CHUNK, CHUNK))
def test_each_call_is_in_one_batch_and_gets_its_own_part(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert batching.RUNS.play(seed) == [], seed


def test_batches_that_are_too_large_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = QueueClaimStatement._begin_batch

    def too_large(self: QueueClaimStatement, first: Any, n: int, *more: Any) -> Any:
        return begin(self, first, n + 1, *more)

    monkeypatch.setattr(QueueClaimStatement, "_begin_batch", too_large)
    assert batching.RUNS.notices("at most", range(10))


def test_parts_that_go_to_others_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "batch_success", backwards(endings.batch_success))
    assert batching.RUNS.notices("was given", range(10))


def backwards(success: Callable[..., Any]) -> Callable[..., Any]:
    """As a mistake in places would be."""
    return lambda execution, result, *others, **more: success(execution, result[::-1], *others, **more)


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    options = {name for seed in range(30) for each in RUNS.draw(seed).queues for name in each.options}
    assert options == {
        "key", "concurrency", "per_instance", "rate", "per_key", "exclusive", "rate_per_key", "max_backlog",
        "debounce",
    }  # fmt: skip
    assert {"kill", "freeze", "jump", "cut", "partition", "row refuses"} <= RUNS.sights(range(30)).keys()


def test_concurrency_that_is_passed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    (mark,) = (each for each in marks(PACKAGE) if each.name == "memory-concurrency-passed")
    mutant: dict[str, Any] = dict(vars(queues))
    exec(compile(without(mark), mark.file, "exec"), mutant)  # noqa: S102 - it is this project's own file
    monkeypatch.setattr(QueueClaimStatement, "_next", mutant["QueueClaimStatement"]._next)
    assert RUNS.notices("concurrency of", range(60))


def test_a_rate_that_is_passed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "_held_until", lambda rate, starts, now: now)
    assert RUNS.notices("rate of", range(60))


def test_an_order_that_is_not_kept_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "_rank", lambda row: -row.created_at)
    assert RUNS.notices("began before", range(60))


def test_a_row_that_stops_its_queue_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(refusals: Any, workflow_id: str) -> bool:
        if workflow_id in refusals._refusing:
            raise Unreachable("as a queue fails where one row fails it all")
        return True

    monkeypatch.setattr(queues._Refusals, "begins", fail)
    assert RUNS.notices("there is room", range(60))


def test_rows_that_are_written_though_they_refuse_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues._Refusals, "begins", lambda *_: True)
    assert RUNS.notices("refuses, and was written", range(20))


@pytest.mark.slow
def test_an_order_that_is_not_kept_by_those_that_refuse_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueueClaimStatement, "_first_is_passed", lambda *_: False)
    assert RUNS.notices("began before", range(100))


@pytest.mark.slow
def test_an_input_that_debounce_loses_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    absorb = QueueStatements._absorb

    def losing(self: QueueStatements, new: NewWorkflow, of_key: Any, *more: Any) -> Any:
        before = {each: row.new.input for each, row in of_key}
        entered = absorb(self, new, of_key, *more)
        for each, row in of_key:
            row.new = row.new._replace(input=before[each])
        return entered

    monkeypatch.setattr(QueueStatements, "_absorb", losing)
    assert RUNS.notices("ran with", range(60))


@pytest.mark.slow
def test_work_that_nobody_looks_for_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = ClaimStatement.claim

    def blind(self: ClaimStatement, *args: Any, **kwargs: Any) -> Any:
        return replace(claim(self, *args, **kwargs), queued=False)

    monkeypatch.setattr(ClaimStatement, "claim", blind)
    assert RUNS.notices("there is room", range(60))
