"""The torturer's own parts: the plan follows the seed, the oracles tell lawful from unlawful."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.torture.faults import FAULTS
from tests.torture.oracles.history import History, kind_of
from tests.torture.oracles.results import implied_by
from tests.torture.oracles.schedules import wrongs_of
from tests.torture.oracles.takeover import Kill, Takeovers
from tests.torture.oracles.violations import Violations
from tests.torture.oracles.window import Window
from tests.torture.schedule import plan
from tests.torture.visitors import wrong_of
from tests.torture.workload import KINDS, Orders


def change(
    before: tuple[Any, ...] | None, after: tuple[Any, ...], app: str, at_s: float = 0.0
) -> dict[str, Any]:
    """A row of torture.changes: (owner, epoch, status) before and after, by which instance."""
    owner, epoch, status = before or (None, None, None)
    row = dict(zip(("owner", "epoch", "status"), after, strict=True))
    return {
        "workflow_id": "w", "change": "UPDATE" if before else "INSERT", "app": f"outlast/{app}", "at_s": at_s,
        "attempts": 0, "old_owner": owner, "old_epoch": epoch, "old_status": status, **row,
    }  # fmt: skip


def test_a_seed_plans_an_hour_of_all_faults_the_same_each_time() -> None:
    first, second = (
        [(strike.at_s, strike.fault.name, strike.seed) for strike in plan("s", [f() for f in FAULTS], 3600)]
        for _ in range(2)
    )
    assert first == second
    struck = Counter(name for _, name, _ in first)
    assert set(struck) == {fault.name for fault in FAULTS}
    assert struck.total() >= 6_000
    assert min(struck.values()) >= 5
    assert first != [
        (each.at_s, each.fault.name, each.seed) for each in plan("t", [f() for f in FAULTS], 3600)
    ]


def test_a_seed_orders_the_same_of_every_kind() -> None:
    first, second = Orders("s"), Orders("s")
    orders = [first.next() for _ in range(300)]
    assert orders == [second.next() for _ in range(300)]
    assert {order.kind for order in orders} | {"leaf", "piece"} == set(KINDS)
    assert len({order.key for order in orders}) == 300


@pytest.mark.parametrize(
    ("before", "after", "app", "kind"),
    [
        (None, ("a", 1, "PENDING"), "a", "start"),
        (None, ("a", 1, "PENDING"), "b", None),
        (("a", 1, "PENDING"), (None, 1, "SUCCESS"), "a", "end"),
        (("a", 1, "PENDING"), (None, 1, "SUCCESS"), "b", None),
        ((None, 1, "PENDING"), (None, 1, "SUCCESS"), "a", None),
        (("a", 1, "PENDING"), (None, 1, "PENDING"), "a", "give back"),
        (("a", 1, "PENDING"), (None, 2, "PENDING"), "b", "recover"),
        (("a", 1, "PENDING"), (None, 1, "PENDING"), "b", None),
        ((None, 2, "PENDING"), ("b", 3, "PENDING"), "b", "claim"),
        ((None, 2, "PENDING"), ("b", 2, "PENDING"), "b", None),
        (("a", 2, "PENDING"), ("b", 3, "PENDING"), "b", None),
        (("a", 2, "PENDING"), (None, 3, "CANCELLED"), "b", "cancel"),
        ((None, 2, "SUCCESS"), (None, 2, "SUCCESS"), "a", None),
        ((None, 3, "CANCELLED"), (None, 3, "SUCCESS"), "a", None),
    ],
)
def test_lawful_and_unlawful_changes(
    before: tuple[Any, ...] | None, after: tuple[Any, ...], app: str, kind: str | None
) -> None:
    assert kind_of(change(before, after, app)) == kind


def test_a_record_by_who_owns_the_workflow_no_more_is_found() -> None:
    record = {
        "workflow_id": "w", "step_id": "1", "change": "INSERT", "complete_before": False, "app": "outlast/a"
    }  # fmt: skip
    violations = Violations()
    History(violations).look(Window("0", "1", [], [{**record, "owner": "a"}]))
    assert not violations
    History(violations).look(Window("1", "2", [], [{**record, "owner": "b"}]))
    assert violations.counts == {"a write of a superseded instance was committed": 1}


BEGAN = datetime(2026, 11, 29, tzinfo=UTC)


def account(ran: list[int], skipped: list[int], missed: int = 0, **others: Any) -> dict[str, Any]:
    """What is known of a schedule of every two seconds, whose first time is 2 and whose next is 12."""
    return {
        "every_s": 2.0,
        "since": BEGAN,
        "nominal_at": BEGAN + timedelta(seconds=12),
        "catchup": "last",
        "started": len(ran),
        "skipped": len(skipped),
        "missed": missed,
        "ran": [BEGAN + timedelta(seconds=each) for each in ran] or None,
        "skips": [BEGAN + timedelta(seconds=each) for each in skipped] or None,
        **others,
    }


@pytest.mark.parametrize(
    ("row", "wrongs"),
    [
        (account([2, 4, 6, 8, 10], []), 0),
        (account([2, 8, 10], [4], missed=1), 0),
        (account([2, 4, 6, 8], []), 1),
        (account([2, 4, 6, 8, 10], [10]), 2),
        (account([2, 4, 4, 6, 8, 10], []), 2),
        (account([2, 4, 6, 8, 10], [], started=6), 1),
        (account([2, 4, 6, 8], [], missed=1, catchup="all"), 1),
    ],
)
def test_every_time_of_a_schedule_is_accounted_for(row: dict[str, Any], wrongs: int) -> None:
    assert len(wrongs_of(row)) == wrongs


def test_a_takeover_is_timed_from_the_kill_to_the_next_claim() -> None:
    takeovers = Takeovers()
    rows = [
        change(None, ("h-7-x", 1, "PENDING"), "h-7-x", 10.0),
        change(("h-7-x", 1, "PENDING"), (None, 2, "PENDING"), "b", 12.5),
        change((None, 2, "PENDING"), ("b", 3, "PENDING"), "b", 13.0),
    ]
    takeovers.killed(Kill(12.0, 7, sessions=True, quiet=True))
    takeovers.look(Window("0", "1", [{**row, "kind": kind_of(row)} for row in rows], []))
    assert takeovers.latencies(sessions=True, quiet=True) == [1.0]
    assert takeovers.latencies(sessions=False, quiet=False) == []


def test_a_result_is_implied_by_records_whatever_their_order() -> None:
    names = ("act", "transfer", "result of w/9", "shaky", "sleep")
    outputs = ('{"label":"a","token":"1"}', '{"label":"b","token":"2"}', '{"parts":{}}', None, "12.5")
    records = [
        {
            "name": name,
            "output": output,
            "error": None if output else "{}",
            "step_id": "4",
            "completion_order": n,
        }
        for n, (name, output) in enumerate(zip(names, outputs, strict=True))
    ]
    implied = {"parts": {"a": "1", "b": "2", "try3": None}, "children": [{"parts": {}}], "order": ["b"]}
    assert implied_by(records) == implied_by(records[::-1]) == implied


@pytest.mark.parametrize(
    ("taken", "messages", "answer", "wrong"),
    [
        (["a"], ["a"], "a", None),
        (["a"], ["a"], None, None),  # its patience was over before
        ([], ["a"], "a", None),  # nobody was told that it was taken
        (["a", "b"], ["a"], "a", "a link was used twice"),
        ([], ["a", "b"], "a", "a link was used twice"),
        (["a"], [], None, "an answer that was taken is lost"),
        (["a"], ["b"], "b", "an answer that was taken is lost"),
        ([], ["a"], "b", "an answer was received that nobody gave"),
    ],
)
def test_a_link_takes_one_answer(
    taken: list[str], messages: list[str], answer: str | None, wrong: str | None
) -> None:
    row = {"workflow_id": "w", "status": "SUCCESS", "messages": messages, "answer": answer}
    assert wrong_of(taken, row) == wrong
