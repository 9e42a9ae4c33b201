"""Schedules of the real engine: a few of the many that `python -m tests.simulation` goes through."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from outlast.engine.execution import execution
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.recording import Completion, Completions, Recording
from outlast.engine.operations import leaving
from outlast.engine.waits.events import Cursor
from outlast.sdk import sagas
from outlast.testing.database import Database
from outlast.testing.rows import Workflow
from outlast.testing.statements.journal import JournalStatements
from outlast.testing.statements.workflows import WorkflowStatements
from tests.mutants.marks import marks, without
from tests.mutants.mutant import PACKAGE
from tests.simulation.network import MISHAPS, Weather
from tests.simulation.plans import (
    AT_CYCLES,
    Plan,
    calm_plan,
    event_plan,
    mail_plan,
    plan_of,
    random_plan,
    saga_plan,
    sweep,
)
from tests.simulation.programs import Node, a_program
from tests.simulation.scenario import simulate

CHUNK = 100
SLOW = pytest.mark.slow
PROGRAMS: dict[str, Node] = {
    "steps, a transaction and a sleep, one after the other": [
        "row",
        "r",
        [["step", "a", [], 0], ["pay", "b", [], 0], ["sleep", "c", [], 0.5], ["step", "d", [], 0]],
        0,
    ],
    "branches that are raced, and a step after them": [
        "row",
        "r",
        [
            ["first", "f", [["step", "a", [], 0], ["pay", "b", [], 0], ["thread", "c", [], 0]], 0],
            ["step", "d", [], 0],
        ],
        0,
    ],
}


MESSAGES: Node = [
    "row",
    "r",
    [
        [
            "gather",
            "g",
            [["receive", "a", ["a"], 60.0], ["receive", "b", ["b"], 60.0], ["send", "c", ["b"], 0]],
            0,
        ],
        ["receive", "d", ["a"], 60.0],
    ],
    0,
]


def chunks(count: int, quick: int) -> list[Any]:
    """The first seeds of chunks, of which so many are quick to go through."""
    firsts = range(0, count * CHUNK, CHUNK)
    return [pytest.param(each, marks=() if n < quick else SLOW) for n, each in enumerate(firsts)]


@pytest.mark.parametrize("first", chunks(8, 1))
def test_whatever_happens_all_is_well_in_the_end(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = simulate(random_plan(seed))
        assert not outcome.violations, f"schedule {outcome.plan.name}"


@pytest.mark.parametrize("first", chunks(3, 1))
def test_no_message_is_lost_or_received_twice(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = simulate(mail_plan(seed))
        assert not outcome.violations, f"schedule {outcome.plan.name}"


@pytest.mark.parametrize("first", chunks(3, 1))
def test_no_event_is_missed_or_taken_twice(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = simulate(event_plan(seed))
        assert not outcome.violations, f"schedule {outcome.plan.name}"


@pytest.mark.parametrize("first", chunks(3, 1))
def test_whatever_a_saga_began_is_undone_once(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = simulate(saga_plan(seed))
        assert not outcome.violations, f"schedule {outcome.plan.name}"


EVERY = pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.long), 11])
"""One after the other, or here and there."""


@EVERY
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", AT_CYCLES)
def test_one_fault_at_each_cycle(program: str, kind: str, every: int) -> None:
    calm = Plan("calm", 1, 2, [PROGRAMS[program]], Weather(latency_s=0.0002, sessions=False))
    cycles = simulate(calm).cycles
    assert cycles > 50
    for cycle in range(1, cycles, every):
        outcome = simulate(replace(calm, at_cycle=(cycle, kind)))
        assert not outcome.violations, f"at cycle {cycle}"


@EVERY
@pytest.mark.parametrize("kind", AT_CYCLES)
def test_one_fault_while_messages_come(kind: str, every: int) -> None:
    calm = Plan("calm", 1, 2, [MESSAGES], Weather(latency_s=0.0002, sessions=False))
    for cycle in range(1, simulate(calm).cycles, 4 * every):
        outcome = simulate(replace(calm, at_cycle=(cycle, kind)))
        assert not outcome.violations, f"at cycle {cycle}"


@EVERY
@pytest.mark.parametrize("program", PROGRAMS)
def test_one_mishap_to_each_statement(program: str, every: int) -> None:
    calm = Plan("calm", 1, 2, [PROGRAMS[program]], Weather(latency_s=0.0002))
    for statement in range(1, simulate(calm).statements + 1, every):
        for mishap in MISHAPS:
            outcome = simulate(replace(calm, mishaps={statement: mishap}))
            assert not outcome.violations, f"statement {statement}: {mishap}"
            assert outcome.faults == {mishap: 1}


def test_a_seed_gives_the_same_run_again() -> None:
    for seed in range(20):
        first, again = simulate(random_plan(seed)), simulate(random_plan(seed))
        assert (first.digest, first.cycles) == (again.digest, again.cycles)
    assert simulate(random_plan(1)).digest != simulate(random_plan(2)).digest


def test_a_name_gives_the_plan_again() -> None:
    random = [plan(7) for plan in (random_plan, mail_plan, event_plan, saga_plan)]
    plans = [*random, calm_plan(8), *sweep(9, 3, 1)]
    assert [plan_of(each.name) for each in plans] == plans


def found_by_schedules(count: int = 200, plan: Callable[[int], Plan] = random_plan) -> bool:
    return any(simulate(plan(seed)).violations for seed in range(count))


def plan_of_receives(seed: int) -> Plan:
    """A random plan of programs that do nothing but receive: they leave the memory more often than others."""
    chance = random.Random(seed)
    programs = [
        a_program(chance, chance.randint(1, 4), kinds=("row",), leaves=("receive",)) for _ in range(4)
    ]
    return replace(random_plan(seed), programs=programs)


def at_once(_: Recording, call: PendingCall, begin: Callable[[], None]) -> None:
    """Wait for nothing."""
    begin()


@pytest.mark.slow
def test_it_finds_steps_that_begin_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recording, "when_durable", at_once)
    assert found_by_schedules()


@pytest.mark.slow
def test_it_finds_results_that_come_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def newest(self: Completions) -> Completion | None:
        filled = [place for place, each in self.places.items() if each is not None]
        return self.places.pop(max(filled)) if filled else None

    monkeypatch.setattr(Completions, "next", newest)
    assert found_by_schedules()


@pytest.mark.slow
def test_it_finds_a_wake_up_that_is_lost_at_the_suspension(monkeypatch: pytest.MonkeyPatch) -> None:
    end = JournalStatements._end

    def _end(self: JournalStatements, row: Workflow, ending: Any, nonce: int) -> None:
        mail, row.mail = row.mail, 0
        end(self, row, ending, nonce)
        row.mail = mail

    monkeypatch.setattr(JournalStatements, "_end", _end)
    assert found_by_schedules(plan=plan_of_receives)


@pytest.mark.slow
def test_it_finds_messages_that_are_received_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "last_received", lambda _: {})
    assert found_by_schedules(plan=mail_plan)


@pytest.mark.slow
def test_it_finds_events_that_wake_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "tell_events", lambda *_: False)
    assert found_by_schedules(plan=event_plan)


@pytest.mark.slow
def test_it_finds_waits_for_what_has_been_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that came between the last look and the suspension."""
    monkeypatch.setattr(Database, "_published", lambda *_: iter(()))
    assert found_by_schedules(plan=event_plan)


@pytest.mark.slow
def test_it_finds_events_that_are_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Cursor.put

    def again(cursor: Cursor, found: Any) -> None:
        put(cursor, found)
        if cursor._ahead and cursor.after:
            cursor._ahead.appendleft(cursor._ahead[0])

    monkeypatch.setattr(Cursor, "put", again)
    assert found_by_schedules(plan=event_plan)


@pytest.mark.slow
def test_it_finds_streams_that_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status of a later moment than the events."""
    published = WorkflowStatements.published

    def early(statements: WorkflowStatements, queries: Any) -> Any:
        found, cut = published(statements, queries)
        return {place: each._replace(ended=not each.events) for place, each in found.items()}, cut

    monkeypatch.setattr(WorkflowStatements, "published", early)
    assert found_by_schedules(plan=event_plan)


@pytest.mark.slow
def test_it_finds_a_cancel_that_does_not_let_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JournalStatements, "_mark_saga", lambda *_: None)
    assert found_by_schedules(plan=saga_plan)


@pytest.mark.slow
def test_it_finds_what_is_undone_only_where_it_is_known_to_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagas._Log, "failed", lambda *_: None)
    assert found_by_schedules(plan=saga_plan)


def plan_of_ties(seed: int) -> Plan:
    """Receives, and answers that come together with timers; nothing goes wrong."""
    plan = plan_of_receives(seed)
    weather = replace(plan.weather, ties=0.5, mishap=0.0, conflict=0.0)
    return replace(plan, weather=weather, faults=[])


@pytest.mark.slow
def test_it_finds_a_timer_that_strikes_just_when_a_message_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    (mark,) = (each for each in marks(PACKAGE) if each.name == "leaves-with-a-completion")
    mutant = dict(vars(leaving))
    exec(compile(without(mark), mark.file, "exec"), mutant)  # noqa: S102 - it is this project's own file
    monkeypatch.setattr(leaving, "_look", mutant["_look"])
    assert found_by_schedules(plan=plan_of_ties)
